"""Secrets out of what is shown. In doubt it hides more than it must."""

import re
from typing import Final

MASK: Final = "***"

_VALUE: Final = r"(?:'(?:[^'\\]|\\.)*+'|(?!')(?:\\.|[^\s\\])*+)"
_NAME: Final = r"\w*(?:password|secret|scram_client_key|scram_server_key)\s*=\s*"
KEYWORDS: Final = re.compile(rf"(?:\s*\w+\s*=\s*{_VALUE})++\s*", re.DOTALL)
_SECRET_KEYWORD: Final = re.compile(rf"({_NAME}){_VALUE}", re.DOTALL | re.IGNORECASE)
_SECRET_OPTION: Final = re.compile(rf"({_NAME})[^&]*", re.IGNORECASE)
_SECRET_ON: Final = re.compile(rf"({_NAME}).*", re.DOTALL | re.IGNORECASE)
_USERINFO_PASSWORD: Final = re.compile(r"(://[^:@]*):.*@", re.DOTALL)
_USERINFO: Final = re.compile(r"://.*@", re.DOTALL)


def mask_dsn(dsn: str) -> str:
    """Return `dsn`, a URI or libpq's keywords, with its passwords masked."""
    if KEYWORDS.fullmatch(dsn):
        return _SECRET_KEYWORD.sub(rf"\1{MASK}", dsn)
    if "://" not in dsn:
        return MASK
    address, mark, options = _USERINFO_PASSWORD.sub(rf"\1:{MASK}@", dsn).partition("?")
    if "%" in options:  # libpq decodes names too: %70assword is one
        options = MASK
    return address + mark + _SECRET_OPTION.sub(rf"\1{MASK}", options)


def mask_text(text: str) -> str:
    """Return `text` without what stands before the @ of an address, and with nothing after a password's name."""
    return _SECRET_ON.sub(rf"\1{MASK}", _USERINFO.sub(f"://{MASK}@", text))
