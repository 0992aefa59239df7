"""When an old value and a new one are the same: by type, and by nothing that the upgrade itself computes with."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import NoReturn

import numpy as np

from tests.upgrade.wild.databases import Column, uuid_of
from tests.upgrade.wild.reading import Row

INSTANTS = {"timestamptz", "timestamp"}


def is_nothing(column: Column, old: str | bytes | None) -> bool:
    """Return whether a value says nothing: none, what upstream derives of others, or what stands for none."""
    if old is None or column.kind in {"derived", "computed"}:
        return True
    empty = {"user", "project", "tenant", "tags", "json"}
    return (
        (column.kind in empty and old == "")
        or (column.kind in {"time", "number", "count"} and isinstance(old, str) and not old.strip(" "))
        or (column.kind == "tenant" and old == "default")
        or (column.name == "feedback_score" and is_number(old, "0"))
    )


def is_number(old: str | bytes, other: str) -> bool:
    """Return whether two texts are one number; NaN is none."""
    try:
        return isinstance(old, str) and Decimal(old) == Decimal(other)
    except InvalidOperation:
        return False


def _is_same(column: Column, old: str, new: Row) -> bool:
    return bool(new[column.name] == old)


def _is_same_number(column: Column, old: str, new: Row) -> bool:
    there = new[column.name]
    if column.type == "real" and there is not None:
        return bool(np.float32(there) == np.float32(old))
    return isinstance(there, str) and is_number(old, there)


def _is_same_time(column: Column, old: str, new: Row) -> bool:
    there = new[column.name]
    if there is None:
        return False
    if column.type in INSTANTS:
        return bool(old.replace("+00", "") == there.replace("+00", ""))
    return is_number(old, milliseconds(there))


def milliseconds(instant: str) -> str:
    """Return the milliseconds since 1970 of a time as PostgreSQL writes it, to the microsecond; infinity as it is."""
    if instant.endswith("infinity"):
        return instant
    is_before, shown = instant.endswith(" BC"), instant.removesuffix(" BC").removesuffix("+00")
    seconds, _, fraction = shown.replace(" ", "T").partition(".")
    if is_before:
        year, _, rest = seconds.partition("-")
        seconds = f"{1 - int(year):05}-{rest}"
    whole = Decimal(int(np.datetime64(seconds, "s").astype(np.int64)))
    return str((whole + Decimal(f"0.{fraction or 0}")) * 1000)


def _are_same_tags(column: Column, old: str, new: Row) -> bool:
    found = _parsed(old)
    return isinstance(found, list) and found == json.loads(new[column.name])


def _is_same_json(column: Column, old: str, new: Row) -> bool:
    """Return whether metadata are as they were, but for what is noted in them."""
    there, wanted = _parsed(new[column.name]), _parsed(old)
    if wanted is None or not isinstance(there, dict):
        return False
    others = {name: value for name, value in there.items() if name != "openmemory_old"}
    ours = there.get("openmemory_old")
    if isinstance(ours, dict) and "openmemory_old" in ours:
        others["openmemory_old"] = ours["openmemory_old"]
    return wanted in (there, others)


def _parsed(text: str) -> object:
    """Return what JSON says, each number by its value; None where it says nothing or one thing twice."""

    def number(digits: str) -> tuple[str, Decimal]:
        return "number", Decimal(digits)

    def refuse(_: str) -> NoReturn:
        raise ValueError

    def named(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        return found if len(found) == len(pairs) else refuse("")

    try:
        found: object = json.loads(
            text, parse_int=number, parse_float=number, parse_constant=refuse, object_pairs_hook=named
        )
    except (ValueError, RecursionError):
        return None
    return found


HOLDS: Mapping[str, Callable[[Column, str, Row], bool]] = {
    "id": _is_same,
    "end": lambda column, old, new: uuid_of(old) == new[column.name],
    "user": _is_same,
    "tenant": _is_same,
    "project": _is_same,
    "text": _is_same,
    "about": _is_same,
    "sector": _is_same,
    "tags": _are_same_tags,
    "json": _is_same_json,
    "time": _is_same_time,
    "number": _is_same_number,
    "count": _is_same_number,
    "own": lambda column, old, new: False,
}
