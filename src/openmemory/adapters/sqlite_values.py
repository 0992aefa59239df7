"""Values of SQLite, whose columns hold whatever they are given, as the types of upstream's columns."""

import json
import re
from collections.abc import Mapping
from typing import TypeAlias

from openmemory.core.memory import OLD_VALUES

Value: TypeAlias = int | float | str | bytes | None

METADATA = {"memories": "meta", "temporal_facts": "metadata"}
"""The column of a table that can hold a note."""

_WHOLE = {"segment", "created_at", "updated_at", "last_seen_at", "version", "reflection_count", "dim", "valid_from"}
_WHOLE |= {"valid_to", "last_updated"}
_REAL = {"salience", "decay_lambda", "feedback_score", "weight", "confidence"}
_LARGEST = 2**63 - 1
_SMALL = {"version", "reflection_count", "dim"}
_LARGEST_SMALL = 2**31 - 1
# PostgreSQL stores no NUL; a lone surrogate stands for a byte that is no UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def in_type(name: str, value: Value) -> Value:
    """Return a value in its column's type; null for what cannot be one, and U+FFFD for what is no text in one."""
    if value is None:
        return None
    if name == "v":
        return value if isinstance(value, bytes) else None
    if name in _WHOLE or name in _REAL:
        try:
            if name in _WHOLE:
                return _whole(value, _LARGEST_SMALL if name in _SMALL else _LARGEST)
            return float(value)
        except (ValueError, OverflowError):
            return None
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return _NO_TEXT.sub("\ufffd", text)


def is_replaced(old: Value, new: Value) -> bool:
    """Return whether `new` no longer says what `old` did; a number written as text is the number."""
    match old, new:
        case bytes(), str():
            return old != new.encode()
        case str(), int() | float():
            return float(old) != new
        case int() | float(), str():
            return False
    return old != new


def noted(metadata: Value, lost: Mapping[str, Value]) -> str:
    """Return metadata, as JSON, with the values that were replaced; what is no object becomes one of them."""
    held = _object(metadata)
    note: dict[str, object] = {name: _shown(value) for name, value in lost.items()}
    if held is None and metadata:
        note = {"meta": _shown(metadata), **note}
    if held and OLD_VALUES in held:
        note[OLD_VALUES] = held[OLD_VALUES]
    return json.dumps({**(held or {}), OLD_VALUES: note}, ensure_ascii=False)


def _object(metadata: Value) -> dict[str, object] | None:
    try:
        held = json.loads(metadata) if isinstance(metadata, str) else None
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _shown(value: Value) -> Value:
    """Return a value as JSON can hold it; bytes, and text that holds some, as SQLite writes them."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, str) and not _NO_TEXT.search(value):
        return value
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return f"x'{raw.hex()}'" if isinstance(raw, bytes) else raw


def _whole(value: int | float | str | bytes, largest: int) -> int:
    try:
        whole = value if isinstance(value, float) else int(value)
    except ValueError:
        whole = float(value)
    if abs(whole) > largest:
        raise OverflowError
    return int(whole)
