"""The kinds of value a setting can have: how each is read, and in words what it may be."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

from openmemory.core.scope import NAME_MAX_BYTES, tenant_problem
from openmemory.settings.masking import KEYWORDS, mask_dsn


class Section(BaseModel):
    """One concern of the server, as values that do not change while it runs."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_alias=True, validate_by_name=True
    )


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a value may be, in words that follow "must be"."""

    text: str


@dataclass(frozen=True, slots=True)
class Unset:
    """What holds while a setting has no value of its own."""

    text: str


@dataclass(frozen=True, slots=True)
class Masked:
    """How a secret is shown when part of it is worth seeing."""

    mask: Callable[[str], str]


Value = TypeVar("Value")


def refusing(reason: str, when: Callable[[Value], bool]) -> Callable[[Value], Value]:
    """Return a validator that turns away for `reason` the values of which `when` is true."""

    def check(value: Value) -> Value:
        if when(value):
            raise PydanticCustomError("refused", "{reason}", {"reason": reason})
        return value

    return check


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _unicode(value: str) -> str:
    if "\0" in value:
        raise ValueError("has a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not valid UTF-8") from None
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    if any(unicodedata.category(char) == "Cc" for char in _unicode(value)):
        raise ValueError("has a control character")
    return value


def _tenant(value: str) -> str:
    if problem := tenant_problem(value):
        raise ValueError(problem)
    return value


def _host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]") if ":" in value else value
    if not re.fullmatch(r"[\w.:%-]+", bare, re.ASCII):
        raise ValueError("has a character that no host has")
    return bare


def _database_host(value: str) -> str:
    if not value.startswith(("/", "@")) and re.search(r"[\s@=/]", value):
        raise ValueError("is more than a host; a whole connection string belongs in OM_PG_DSN")
    return value


IDENTIFIER_MAX_BYTES: Final = 63


def _identifier(value: str) -> str:
    if (size_bytes := len(value.encode())) > IDENTIFIER_MAX_BYTES:
        raise ValueError(f"is {size_bytes} bytes long")
    if _DOLLAR_QUOTE.search(value):
        raise ValueError("has a dollar quote of SQL's, such as $body$, which would end the functions that name it")
    return value


def _schema(value: str) -> str:
    if value.startswith("pg_") or value == "information_schema":
        raise ValueError("belongs to PostgreSQL")
    return value


def _role(value: str) -> str:
    if value.startswith("pg_") or value in {"public", "none"}:
        raise ValueError("is reserved by PostgreSQL")
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


_SSL_WORDS: Final[Mapping[object, str]] = {
    **dict.fromkeys(("true", "yes", "on", "1"), "require"),
    **dict.fromkeys(("false", "no", "off", "0"), "disable"),
}


def _ssl(value: object) -> object:
    return _SSL_WORDS.get(value, value)


def _secret(value: SecretStr) -> SecretStr:
    _unicode(value.get_secret_value())
    return value


def _key(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("is empty, which protects nothing: give it a value or leave it out")
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("has a space, a line end or another character that no header can carry")
    return value


def _dsn(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.startswith(("postgresql://", "postgres://")) or KEYWORDS.fullmatch(text)):
        raise ValueError("is not a connection string of libpq")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an address of the web")
    if "@" in parts.netloc:
        raise ValueError("carries a user or a password")
    return value.rstrip("/")


_DOLLAR_QUOTE: Final = re.compile(r"\$\w*\$")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_SPOKEN_FOR: Final = frozenset(
    {"authorization", "content-length", "content-type", "cookie", "forwarded", "host", "origin", "x-api-key"}
)


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError("is not the name of a header")
    if value in _SPOKEN_FOR:
        raise ValueError("has another meaning already")
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+", value):
        raise ValueError("has a part that is no origin")
    return value


def _folder(value: Path) -> Path:
    _text(str(value))
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("begins at a home that is not known") from None


Text = Annotated[str, AfterValidator(_text), Allowed("text without control characters")]
TenantName = Annotated[
    str,
    AfterValidator(_tenant),
    Allowed(f"1 to {NAME_MAX_BYTES} bytes without commas, invisible characters and blanks at the ends"),
]
Host = Annotated[str, AfterValidator(_host), Allowed("a host name or an IP address")]
DatabaseHost = Annotated[
    Text, AfterValidator(_database_host), Allowed("a host name, an IP address or the folder of a socket")
]
Identifier = Annotated[
    Text,
    AfterValidator(_identifier),
    Allowed(f"an SQL name of 1 to {IDENTIFIER_MAX_BYTES} bytes without control characters"),
]
Schema = Annotated[Identifier, AfterValidator(_schema)]
Role = Annotated[Identifier, AfterValidator(_role)]
Password = Annotated[SecretStr, AfterValidator(_secret), Allowed("text in UTF-8")]
Key = Annotated[SecretStr, AfterValidator(_key), Allowed("visible ASCII characters, no spaces")]
Dsn = Annotated[
    SecretStr,
    AfterValidator(_secret),
    AfterValidator(_dsn),
    Masked(mask_dsn),
    Allowed("`postgresql://user:password@host:5432/database`, or keywords such as `host=… dbname=…`"),
]
Url = Annotated[Text, AfterValidator(_url), Allowed("an `http://` or `https://` address without user and password")]
Header = Annotated[
    str, AfterValidator(_header), BeforeValidator(_lower), Allowed("a header without another meaning here")
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    BeforeValidator(_split),
    Allowed("origins such as `https://app.example.com`, separated by commas, or `*`"),
]
Folder = Annotated[Path, AfterValidator(_folder), Allowed("a folder")]
Size = Annotated[ByteSize, Allowed("a size such as `1048576`, `512KiB` or `32MB`")]

# Pydantic runs the before-validators of an Annotated from right to left, so these come last.
AnyCase = BeforeValidator(_lower)
SslWords = BeforeValidator(_ssl)
