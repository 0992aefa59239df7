"""The kinds of value that requests are made of, with their limits."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from openmemory.core.memory import CONTENT_MAX_CHARS
from openmemory.core.scope import name_problem
from openmemory.core.text import text_problem

BATCH_MOST = 1_000
MATCHES_MOST = 1_000
EMBEDDING_MOST = 8_192
QUERY_MAX_CHARS = 10_000
_METADATA_BYTES = 16 * 1024
_METADATA_DEPTH = 16
_TAG_BYTES = 256
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # escaped by JSON, unlike the six characters of its escape
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = -62_135_596_800_000  # the beginning of the year 1
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999


def _named(value: str) -> str:
    if problem := name_problem(value):
        raise ValueError(problem)
    return value


def _content(value: str) -> str:
    if problem := text_problem(value, CONTENT_MAX_CHARS):
        raise ValueError(problem)
    return value


def _tag(value: str) -> str:
    size_bytes = len(value.encode())
    if not 1 <= size_bytes <= _TAG_BYTES:
        raise ValueError(f"has {size_bytes} bytes; 1 to {_TAG_BYTES} are allowed")
    if "\0" in value:
        raise ValueError("has a NUL character")
    return value


def _instant(value: object) -> object:
    """Read ISO 8601 (without a zone: UTC) or milliseconds since 1970."""
    if isinstance(value, bool):
        raise ValueError("is neither ISO 8601 nor milliseconds since 1970")
    if isinstance(value, int | float):
        if not _EARLIEST_MS <= value <= _LATEST_MS:
            raise ValueError("is beyond the years that can be kept; give milliseconds since 1970")
        return _EPOCH + timedelta(milliseconds=value)
    if isinstance(value, str):
        try:
            return _utc(datetime.fromisoformat(value.strip()))
        except ValueError as error:
            raise ValueError("is neither ISO 8601, with a year from 1 to 9999, nor milliseconds since 1970") from error
    return value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("is beyond the years that can be kept") from error


def _number(value: object) -> object:
    """Refuse what Pydantic would take for a number."""
    if isinstance(value, bool | str):
        raise ValueError("is no number")
    return value


def _metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        encoded = _encode(value).encode()
    except ValueError as error:
        raise ValueError("has a number or a text that JSON cannot carry: infinite, or broken Unicode") from error
    if len(encoded) > _METADATA_BYTES:
        raise ValueError(f"is {len(encoded)} bytes of JSON; at most {_METADATA_BYTES}")
    # What is small and has few brackets is not deep; to walk through it would take longer than all the rest.
    if encoded.count(b"[") + encoded.count(b"{") > _METADATA_DEPTH and _depth(value) > _METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {_METADATA_DEPTH}")
    if rb"\u0000" in encoded and _NUL.search(encoded):
        raise ValueError("has a NUL character")
    return value


def _depth(value: JsonValue) -> int:
    """Return how deep `value` is nested, without recursion."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inside(outer)]:
        depth += 1
        if depth > _METADATA_DEPTH:
            break
    return depth


def _inside(value: JsonValue) -> Sequence[JsonValue]:
    if isinstance(value, dict):
        return list(value.values()) or [None]
    return (value or [None]) if isinstance(value, list) else []


Content = Annotated[str, Field(min_length=1, max_length=CONTENT_MAX_CHARS), AfterValidator(_content)]
Name = Annotated[
    str,
    AfterValidator(_named),
    Field(
        description="At most 128 bytes, no control characters.", json_schema_extra={"minLength": 1, "maxLength": 128}
    ),
]
# A list is refused at its first bad entry: to tell of each of millions would take all memory, and seconds.
Tags = Annotated[list[Annotated[str, AfterValidator(_tag)]], Field(max_length=64, fail_fast=True)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant, json_schema_input_type=str | float),
    Field(description="ISO 8601, or milliseconds since 1970."),
]
Metadata = Annotated[
    dict[str, JsonValue], AfterValidator(_metadata), Field(description="At most 16 KiB of JSON, 16 levels deep.")
]
Vector = Annotated[
    list[Annotated[float, Field(strict=True)]], Field(min_length=1, max_length=EMBEDDING_MOST, fail_fast=True)
]
# The bounds come first: what follows a validator stands in the schema under names that JSON Schema does not know.
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_number)]
Number = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int, Field(ge=1, le=MATCHES_MOST), BeforeValidator(_number)]
