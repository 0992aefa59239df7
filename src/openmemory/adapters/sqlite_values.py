"""Convert SQLite's values, which may have any type in any column, to the types of upstream's columns."""

import json
import re
from collections.abc import Mapping, Sequence
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
# The limits of clients' parsers, the same as in an upgrade (002, as_json).
_LARGE_NUMBER, _DEEPEST = re.compile("[0-9][eE][+]?[0-9]{4}|[0-9]{4300}"), 100


def in_type(name: str, value: Value) -> Value:
    """Return a value in its column's type: None if it has none there, and U+FFFD for what PostgreSQL cannot store."""
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
    """Return metadata, as JSON, with the values that were replaced.

    Metadata that jsonb would not keep whole counts as replaced; other metadata stays as written, with every digit.
    """
    note: dict[str, object] = {name: _shown(value) for name, value in lost.items()}
    written = _as_written(metadata) if isinstance(metadata, str) else None
    if written is None and metadata:
        note = {"meta": _shown(metadata), **note}
    held = str(metadata).strip()[1:-1].strip() if written else ""
    if written and OLD_VALUES in written:
        others = json.loads(str(metadata))
        note[OLD_VALUES] = others.pop(OLD_VALUES)
        held = json.dumps(others, ensure_ascii=False)[1:-1]
    return f"{{{held}{', ' if held else ''}{json.dumps({OLD_VALUES: note}, ensure_ascii=False)[1:]}"


def _as_written(text: str) -> dict[str, object] | None:
    """Return the object in `text`, its numbers as written, or None if there is none or jsonb would lose part of it."""
    if _LARGE_NUMBER.search(text):
        return None
    try:
        held = _exactly(text)
        shown = json.dumps(held, ensure_ascii=False)
        is_text = not _NO_TEXT.search(shown) and "\\u0000" not in shown
        if not isinstance(held, dict) or not is_text or _depth(held) >= _DEEPEST:
            return None
        # An object with a note of its own is written again to nest that; this may not cost a digit.
        return held if OLD_VALUES not in held or _exactly(json.dumps(json.loads(text))) == held else None
    except (ValueError, RecursionError):
        return None


def _exactly(text: str) -> object:
    return json.loads(
        text, object_pairs_hook=_all_apart, parse_float=str, parse_int=str, parse_constant=_refuse_constant
    )


def _all_apart(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return an object of `pairs`; raises ValueError if two have the same name: jsonb would keep only the last."""
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a name is there twice")
    return held


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _shown(value: Value) -> Value:
    """Return a value as JSON can hold it; bytes, and text that is none, become SQLite's literals (x'…')."""
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
