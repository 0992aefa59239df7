"""Whole old databases, drawn: which tables and columns there are, of which types, and rows of them."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from hypothesis import strategies as st
from psycopg import Connection, sql

from tests.upgrade.wild import values
from tests.upgrade.wild.own_types import EXTENSIONS, NAMES, OWN_TYPES, TYPES
from tests.upgrade.wild.values import Value

Kind = Literal["id", "end", "user", "tenant", "project", "text", "about", "sector", "tags", "json", "time", "number",
               "count", "vector", "derived", "own", "computed"]  # fmt: skip
"""What a column holds: `end` is a link's, `about` a fact's, and `derived` is what upstream made of the rest."""

TABLES = {
    "memories": "openmemory_memories",
    "vectors": "openmemory_vectors",
    "waypoints": "openmemory_waypoints",
    "users": "openmemory_users",
    "facts": "temporal_facts",
}

COMPUTED = "computed"
"""The name of a column that an owner has PostgreSQL compute, of what a memory or a fact says."""
_SAID = {"memories": "content", "facts": "object"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an old table."""

    name: str
    kind: Kind
    type: str


@dataclass(frozen=True, slots=True)
class OldTable:
    """An old table with its rows; the values are in the order of the columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class OldDatabase:
    """An old database, and how its owner has it upgraded."""

    tables: Mapping[str, OldTable]
    tenant_from_user: bool
    by_psql: bool
    as_halves: bool
    """Whether the new vectors are of 16 bits a number, which only those are that were so."""

    def write(self, connection: Connection) -> "OldDatabase":
        """Make these tables in an empty database; returns what is there: columns of types that it lacks are not."""
        connection.execute(TYPES)
        there = {extension for extension in EXTENSIONS if _has(connection, extension)}
        lacking = {*EXTENSIONS, "xml"} - there - ({"xml"} if _reads_xml(connection) else set())
        written = replace(self, tables={what: _without(table, lacking) for what, table in self.tables.items()})
        used = {column.type.partition("(")[0] for table in written.tables.values() for column in table.columns}
        for extension in (there & used) | ({"vector"} if used & {"vector", "halfvec", "sparsevec"} else set()):
            connection.execute(f"CREATE EXTENSION {extension}".encode())
        for what, table in written.tables.items():
            _write(connection, TABLES[what], table)
        return written

    def own_values(self) -> dict[tuple[str, str], int]:
        """Return how many rows have a value in each column of the owner's own, where any has, by table and column."""
        counted = {
            (TABLES[what], column.name): sum(row[place] is not None for row in table.rows)
            for what, table in self.tables.items()
            for place, column in enumerate(table.columns)
            if column.kind == "own"
        }
        return {which: count for which, count in counted.items() if count}

    def computed_values(self) -> dict[tuple[str, str], int]:
        """Return how many rows have a value in each column that PostgreSQL computes, by table and column."""
        counted = {
            (TABLES[what], COMPUTED): sum(row[table.names.index(_SAID[what])] is not None for row in table.rows)
            for what, table in self.tables.items()
            if COMPUTED in table.names
        }
        return {which: count for which, count in counted.items() if count}


def uuid_of(old: str) -> str:
    """Return the id that an old one becomes: the UUID that it is, in whichever writing, else its digest."""
    if re.fullmatch(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", old, re.IGNORECASE):
        return str(UUID(old))
    return str(UUID(hashlib.md5(old.encode(), usedforsecurity=False).hexdigest()))


@st.composite
def old_databases(draw: st.DrawFn) -> OldDatabase:
    """Draw a database of one of the versions that there were."""
    version = draw(st.sampled_from(["1.3", "1.2.0", "1.1"]))
    lacking = set(_SINCE_1_2_0 if version == "1.1" else ())
    lacking |= {("vectors", "user_id"), ("waypoints", "user_id")} if version != "1.3" else set()
    if version != "1.3" or draw(st.booleans()):
        lacking |= {(what, name) for what in TABLES for name in ("tenant_id", "project_id")}
    lacking |= {("facts", "user_id")} if draw(st.booleans()) else set()
    # Upstream's own migration, which died half way, left one beside `v`.
    lacking |= {("vectors", "embedding")} if version != "1.3" or draw(st.booleans()) else set()
    found = [what for what in TABLES if what not in {"users", "facts"}]
    found += ["users"] * (version != "1.1") + ["facts"] * draw(st.booleans())
    tables: dict[str, OldTable] = {}
    for what in found:
        columns = [
            Column(name, kind, draw(_types(what, name, kind)))
            for name, kind in _COLUMNS[what].items()
            if (what, name) not in lacking
        ]
        own = draw(_own_columns) if what in {"memories", "facts"} else ()
        if what in _SAID and draw(st.booleans()):
            own = (*own, Column(COMPUTED, "computed", f"text GENERATED ALWAYS AS (upper({_SAID[what]})) STORED"))
        rows = _rows(what, (*columns, *own), _ids(tables.get("memories")))
        tables[what] = OldTable((*columns, *own), draw(rows))
    are_halves = all(c.type.startswith("halfvec") for c in tables["vectors"].columns if c.kind == "vector")
    return OldDatabase(
        tables, draw(st.booleans()), draw(st.sampled_from([False, False, True])), are_halves and draw(st.booleans())
    )


_COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "memories": {
        "id": "id", "user_id": "user", "segment": "derived", "content": "text", "simhash": "derived",
        "primary_sector": "sector", "tags": "tags", "meta": "json", "created_at": "time", "updated_at": "time",
        "last_seen_at": "time", "salience": "number", "decay_lambda": "number", "version": "count",
        "mean_vec": "derived", "feedback_score": "number", "tenant_id": "tenant", "project_id": "project",
    },
    "vectors": {
        "id": "id", "sector": "sector", "user_id": "user", "v": "vector", "embedding": "vector", "dim": "count",
        "tenant_id": "tenant",
        "project_id": "project",
    },
    "waypoints": {
        "src_id": "end", "dst_id": "end", "user_id": "user", "weight": "number", "created_at": "time",
        "updated_at": "time", "tenant_id": "tenant", "project_id": "project",
    },
    "users": {
        "user_id": "user", "summary": "text", "reflection_count": "count", "created_at": "time", "updated_at": "time",
        "tenant_id": "tenant",
    },
    "facts": {
        "id": "id", "subject": "about", "predicate": "about", "object": "text", "valid_from": "time",
        "valid_to": "time", "confidence": "number", "last_updated": "time", "metadata": "json", "user_id": "user",
        "tenant_id": "tenant", "project_id": "project",
    },
}  # fmt: skip
_SINCE_1_2_0 = {("memories", name) for name in ("user_id", "segment", "simhash", "feedback_score")}
_TYPES: Mapping[Kind, Sequence[str]] = {
    "tags": tuple(values.TAGS),
    "json": tuple(values.JSON),
    "time": tuple(values.TIMES),
    "number": tuple(values.NUMBERS),
    "count": tuple(values.COUNTS),
    "vector": tuple(values.VECTORS),
}
_FEWEST, _MOST = 3, 12
_own_columns = st.lists(
    st.builds(Column, st.sampled_from(NAMES), st.just("own"), st.sampled_from(list(OWN_TYPES))),
    max_size=12,
    unique_by=lambda column: column.name,
).map(tuple)


def _types(what: str, name: str, kind: Kind) -> st.SearchStrategy[str]:
    """Return the types that a column was seen to have, upstream's own as often as all others."""
    if name == "embedding":
        return st.just(f"vector({values.DIMENSION})")
    if kind == "id":
        return st.sampled_from(["text", "uuid"] if what == "facts" else ["uuid", "text"])
    known = _TYPES.get(kind, ["text"])
    return st.one_of(st.just(known[0]), st.sampled_from(known))


def _ids(memories: OldTable | None) -> tuple[str, ...]:
    """Return the ids that the memories have."""
    return tuple(str(row[0]) for row in memories.rows) if memories else ()


def _rows(what: str, columns: Sequence[Column], ids: Sequence[str]) -> st.SearchStrategy[tuple[tuple[Value, ...], ...]]:
    row = st.tuples(*(_values(what, column, ids) for column in columns))
    at = {column.name: place for place, column in enumerate(columns)}
    # Of two rows with one key the upgrade has the owner say which it is.
    key = {"memories": ("id",), "vectors": ("id", "sector"), "facts": ("id",)}.get(what)
    if key is None:
        return st.lists(row, min_size=_FEWEST, max_size=_MOST).map(tuple)

    def of(found: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(_key(found[at[name]]) for name in key)

    return st.lists(row, min_size=_FEWEST, max_size=_MOST, unique_by=of).map(tuple)


def _key(value: Value) -> Value:
    return uuid_of(value) if isinstance(value, str) and value not in values.SECTORS else value


def _values(what: str, column: Column, ids: Sequence[str]) -> st.SearchStrategy[Value]:
    if column.kind == "computed":
        return st.none()
    some = _some(what, column)
    if (what, column.name) in _OF_MEMORIES:
        # Most vectors and links are of memories that there are.
        there = st.sampled_from([one for one in ids if column.type == "text" or one in values.UUIDS] or values.UUIDS)
        return st.one_of(there, there, some)
    if (what, column.name) in _ALWAYS:
        return some
    return st.one_of(st.none(), *[some] * (15 if (what, column.name) in _MOSTLY else 3))


_ALWAYS = {("memories", name) for name in ("id", "content", "primary_sector")}
_MOSTLY = {("facts", name) for name in ("id", "subject", "predicate", "object")}
_OF_MEMORIES = {("vectors", "id"), ("waypoints", "src_id"), ("waypoints", "dst_id")}
_ALWAYS |= {("vectors", name) for name in ("id", "sector", "dim")}
_ALWAYS |= {("waypoints", name) for name in ("src_id", "dst_id", "weight")}


def _some(what: str, column: Column) -> st.SearchStrategy[Value]:
    texts: dict[str, Sequence[Value]] = {
        "user": values.USERS,
        "tenant": values.TENANTS,
        "project": values.PROJECTS,
        "text": values.TEXTS,
        "about": values.SUBJECTS,
        "derived": ("1",),
        "end": (*_with_other_writings(values.UUIDS), *values.OTHER_IDS, "gone"),
        "id": values.UUIDS if column.type == "uuid" else (*_with_other_writings(values.UUIDS), *values.OTHER_IDS),
        "sector": values.SECTORS + values.OTHER_SECTORS,
        "time": values.TIMES.get(column.type, ()),
        "number": values.NUMBERS.get(column.type, ()),
        "count": values.COUNTS.get(column.type, ()),
        "own": OWN_TYPES.get(column.type, ()),
    }
    if column.name == "dim":
        return st.one_of(st.just(str(values.DIMENSION)), st.sampled_from(["0", "-1", "5"]))
    if column.kind in texts:
        return st.sampled_from(texts[column.kind])
    return {"tags": values.TAGS, "json": values.JSON, "vector": values.VECTORS}[column.kind][column.type]


def _with_other_writings(ids: Sequence[str]) -> tuple[str, ...]:
    """Return UUIDs, and two of them as other programs write them."""
    return (*ids, ids[0].upper(), ids[1].replace("-", ""))


def _has(connection: Connection, extension: str) -> bool:
    query = "SELECT FROM pg_available_extensions WHERE name = %s"
    return connection.execute(query, [extension]).fetchone() is not None


def _reads_xml(connection: Connection) -> bool:
    ((built,),) = connection.execute(
        "SELECT setting LIKE '%libxml%' FROM pg_config WHERE name = 'CONFIGURE'"
    ).fetchall()
    return bool(built)


def _without(table: OldTable, lacking: set[str]) -> OldTable:
    places = [place for place, column in enumerate(table.columns) if column.type not in lacking]
    return OldTable(
        tuple(table.columns[place] for place in places),
        tuple(tuple(row[place] for place in places) for row in table.rows),
    )


def _write(connection: Connection, name: str, table: OldTable) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type)) for column in table.columns
    )
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(name), columns))
    # A computed column stands last, and takes no value.
    given = [place for place, column in enumerate(table.columns) if column.kind != "computed"]
    marks = ", ".join(["%s"] * len(given))
    rows = [[row[place] for place in given] for row in table.rows]
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} VALUES ({marks})".encode(), rows)
