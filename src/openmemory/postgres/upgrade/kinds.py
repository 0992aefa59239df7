"""How the values of an old column are read as what the new one holds, and what is to be done about the others.

They are read exactly or not at all: to round one, or to say in which time zone a day begins, is the owner's decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from openmemory.postgres.upgrade.found import fate

_BASES = {"ms": "int8", "json": "text"}
_FAMILIES = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "bigint",
    "numeric": "numeric",
    "real": "float",
    "double precision": "float",
    "text": "text",
    "character varying": "text",
    "character": "text",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp",
}
_ANY = {("int4", "integer")} | {
    (kind, family)
    for kind, families in (("ms", ("integer", "bigint", "timestamp")), ("float8", ("integer", "bigint", "float")))
    for family in families
}
# The bounds of what PostgreSQL can cast, and to what an owner may bring those beyond: no calendar has such a time.
_BOUNDS = {"ms": (-(2**63), 2**63), "int4": (-(2**31), 2**31)}
_NEAREST = {"ms": ("-2e14", "9e15"), "int4": ("-2e9", "2e9")}
_FIRST_S, _LAST_S = "-2e11", "9e12"
_DIGITS = {"ms": 18, "int4": 9}
# How a text begins that PostgreSQL may read as a time: with a date.
_DATED = r"^\s*[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([T ]|$)"


@dataclass(frozen=True, slots=True)
class Test:
    """A condition in SQL that each value of a column must meet which is not null, and what is done about the others."""

    holds: str
    wanted: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rename:
    """The statement that makes a column one of the owner's own, and what then becomes of its values."""

    statement: str
    fate: str


def is_text(there: str) -> bool:
    """Return whether a column of this type holds texts."""
    return _family(there) == "text"


def is_timestamp(there: str) -> bool:
    """Return whether a column of this type holds instants."""
    return _family(there) == "timestamp"


def is_finer(column: str, kind: str, there: str) -> str | None:
    """Return the condition of a value that `read` rounds, or None where a type has no such values."""
    family = _family(there)
    if kind == "ms" and family == "timestamp":
        return f"(NOT isfinite({column}) OR {column} <> date_trunc('milliseconds', {column}))"
    if kind == "float8" and family in {"numeric", "bigint", "text"}:
        number = f"nullif(btrim({column}), '')" if family == "text" else column
        # Written with as few digits as tell a double apart: what an owner wrote, if a double holds it.
        return f"({number}::float8::text::numeric <> {number}::numeric)"
    return None


def read(column: str, kind: str, there: str | None) -> str:
    """Return the expression that reads an old column as `kind`, or a null where the shape has no such column."""
    base = _BASES.get(kind, kind)
    if there is None:
        return f"NULL::{base}"
    if kind == "json" and there.endswith("[]"):
        return f"to_json({column})::text"
    return by_bytes(column) if base == "text" else _number(column, kind, _family(there), base)


def by_bytes(column: str) -> str:
    """Return the expression of a column's text as it is compared byte by byte, whatever the column's collation.

    One that takes "a" and "A" for the same lets no regular expression look at its texts. The database's own, which all
    new columns have, is none of these.
    """
    return f'({column}::text COLLATE "default")'


def as_id(column: str, id_type: str) -> str:
    """Return the expression of an id as those of other tables find it, whose columns may have another collation."""
    return f'{column} COLLATE "default"' if is_text(id_type) else column


def _number(column: str, kind: str, family: str, base: str) -> str:
    if kind == "ms" and family == "timestamp":
        return f"CASE WHEN isfinite({column}) THEN (extract(epoch FROM {column}) * 1000)::int8 END"
    if family == "text":
        return f"nullif(btrim({column}), '')::{'float8' if kind == 'float8' else f'numeric::{base}'}"
    if family in {"date", "timestamp", "other"}:
        return f"{column}::text::{base}"  # of nulls; where there is a value it is refused
    return f"{column}::{base}"


def tests(table: str, column: str, kind: str, there: str, *, is_noted: bool) -> tuple[Test, ...]:
    """Return what values of a type must meet to be read as `kind`; none where all of them can be.

    `is_noted` says whether the values of a column of another name would go into the metadata of the table's rows.
    """
    family, rename = _family(there), _rename(table, column, is_noted=is_noted)
    if kind in {"text", "json"} or (kind, family) in _ANY:
        return ()
    if kind == "ms" and family == "date":
        return (_day(table, column),)
    if kind == "float8" and family == "numeric":
        return (_float(table, column),)
    if family == "text":
        return tuple(_times(table, column, rename) if kind == "ms" else _digits(table, column, kind, rename))
    if kind in _BOUNDS and family in {"bigint", "numeric", "float"}:
        return tuple(_whole(table, column, kind, family))
    return (_other(column, rename),)


def _family(there: str) -> str:
    name, bracket, rest = there.partition("(")
    behind = rest.partition(")")[2] if bracket else ""
    return _FAMILIES.get(name.strip() + behind, "other")


def _day(table: str, column: str) -> Test:
    return Test(
        "false",
        "a time, for a day begins at another one in each time zone (in UTC by the statement here)",
        _retyped(table, column, f"{column}::timestamp AT TIME ZONE 'UTC'"),
    )


def _float(table: str, column: str) -> Test:
    holds = f"{column} = 0 OR {column} IN ('NaN', 'Infinity', '-Infinity') OR abs({column}) BETWEEN 1e-300 AND 1e300"
    nearest = f"round(least(greatest({column}, -1e300), 1e300), 300)"
    return Test(holds, "a double precision number", f"UPDATE {table} SET {column} = {nearest} WHERE NOT ({holds})")


def _digits(table: str, column: str, kind: str, rename: Rename) -> Iterator[Test]:
    """Yield the test of a text that is a number."""
    if kind == "float8":
        number = r"[+-]?([0-9]{1,50}(\.[0-9]{0,50})?|\.[0-9]{1,50})([eE][+-]?[0-9]{1,2})?"
        holds, wanted = f"btrim({by_bytes(column)}) ~ '^({number})?$'", "a number"
    else:
        holds, wanted = _whole_digits(column, kind), f"a whole number of at most {_DIGITS[kind]} digits"
    yield _or_null(table, column, holds, wanted, rename)


def _times(table: str, column: str, rename: Rename) -> Iterator[Test]:
    """Yield the tests of a text that is a time: what is none first, for it would stop the statement of the others."""
    digits, dated = _whole_digits(column, "ms"), f"{by_bytes(column)} ~ '{_DATED}'"
    yield _or_null(table, column, f"{digits} OR {dated}", "milliseconds in digits, nor as a time", rename)
    wanted = (
        "milliseconds in digits (a time without a zone is of the session's by the statement here; if it is refused,"
        f" write what it names in another way, or rename the column: {rename.statement}, and {rename.fate})"
    )
    using = f"CASE WHEN {digits} THEN {_instant(read(column, 'ms', 'text'))} ELSE {column}::timestamptz END"
    yield Test(f"{digits} OR NOT {dated}", wanted, _retyped(table, column, using))


def _whole_digits(column: str, kind: str) -> str:
    return rf"btrim({by_bytes(column)}) ~ '^([+-]?[0-9]{{1,{_DIGITS[kind]}}}(\.0*)?)?$'"


def _or_null(table: str, column: str, holds: str, wanted: str, rename: Rename) -> Test:
    """Return the test of a text that nothing can be made of."""
    ways = f"it becomes NULL by the statement here; or rename the column: {rename.statement}, and {rename.fate}"
    return Test(holds, f"{wanted} ({ways})", f"UPDATE {table} SET {column} = NULL WHERE NOT ({holds})")


def _instant(ms: str) -> str:
    """Return the expression of the time that a number of milliseconds is, or of the nearest that PostgreSQL has."""
    return f"to_timestamp(least(greatest({ms} / 1000.0, {_FIRST_S}), {_LAST_S}))"


def _whole(table: str, column: str, kind: str, family: str) -> Iterator[Test]:
    """Yield the tests of a number that may be out of the range of an integer, or between two of them."""
    (low, end), (lowest, highest) = _BOUNDS[kind], _NEAREST[kind]
    holds = f"{column} >= {low} AND {column} < {end}"
    nearest = f"least(greatest({column}, {lowest}), {highest})"
    what = "milliseconds" if kind == "ms" else "a whole number"
    yield Test(
        holds, f"{what}, for none has so many digits", f"UPDATE {table} SET {column} = {nearest} WHERE NOT ({holds})"
    )
    if family == "bigint":
        return
    holds = f"{column} = trunc({column})"
    if kind == "ms":
        wanted = "whole milliseconds (where it counts seconds, leave / 1000.0 out of the statement here)"
        yield Test(holds, wanted, _retyped(table, column, _instant(column)))
    else:
        yield Test(holds, what, f"UPDATE {table} SET {column} = round({column}) WHERE NOT ({holds})")


def _other(column: str, rename: Rename) -> Test:
    """Return the test of a type that nothing is known of: the column may stay as one of the owner's own."""
    wanted = f"what OpenMemory kept there (by the statement here it is a column of your own, and {rename.fate})"
    return Test("false", wanted, rename.statement)


def _rename(table: str, column: str, *, is_noted: bool) -> Rename:
    statement = f'ALTER TABLE {table} RENAME COLUMN {column} TO "{column[1:-1]}_old"'
    return Rename(statement, f"what it holds {fate(is_noted=is_noted)}")


def _retyped(table: str, column: str, using: str) -> str:
    return (
        f"ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT, ALTER COLUMN {column} TYPE timestamptz USING {using}"
    )
