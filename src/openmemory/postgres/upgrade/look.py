"""Look at an old database before anything is done to it: its shape from the catalogue, its rows, who writes to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from openmemory.postgres.direct import find_types, patient, permitted
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade import record, sources
from openmemory.postgres.upgrade.clients import Clients, clients_of, hidden, others
from openmemory.postgres.upgrade.dependants import dependants
from openmemory.postgres.upgrade.foretold import (
    facts_twice,
    has_namesake,
    rows_set_aside,
    taken_names,
    unfit_tenants,
)
from openmemory.postgres.upgrade.found import Dependant, Found, Session
from openmemory.postgres.upgrade.layout import OWN_TABLES, Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.questions import Questions, as_int
from openmemory.postgres.upgrade.readable import check_readable
from openmemory.postgres.upgrade.refusals import not_kept_waiting
from openmemory.postgres.upgrade.shapes import shape_of
from openmemory.postgres.upgrade.sources import Columns
from openmemory.postgres.upgrade.unmapped import unmapped

__all__ = ["Found", "Session", "elsewhere", "look", "old_rows", "writers", "written"]

_READ_AT_MOST_BYTES = 256 << 20
_NO_FLOATS = "vectors: length is not a multiple of 4 bytes"


def look(conninfo: Mapping[str, str], names: Names, plan: Plan | None = None) -> Found:
    """Return what there is and what lifting it takes; reads, and changes nothing.

    `plan` says whose the rows will be; its dimension does not count.
    Raises ConfigurationError where an old table hides rows, or is none that rows can be read from block by block.
    """
    with patient(conninfo) as connection, permitted(), not_kept_waiting(connection, conninfo, names):
        if "exchanged_at" not in record.read(connection, names):
            check_readable(connection, Layout(names, Plan(names.dimension)))
        find_types(connection, names.schema)
        return _Look(connection, names, plan).found()


def own_dimension(conninfo: Mapping[str, str], names: Names) -> int:
    """Return the dimension of the vectors: what an upgrade began with, else the most frequent, else the settings'."""
    with patient(conninfo) as connection, permitted(), not_kept_waiting(connection, conninfo, names):
        return _Look(connection, names).vectors().dimension


def old_rows(conninfo: Mapping[str, str], names: Names) -> dict[str, int]:
    """Return the rows of each old table that is in place, by its name with the schema."""
    with patient(conninfo) as connection, permitted():
        asking = _Look(connection, names)
        tables = {
            what: table
            for what, table in asking.layout.old_tables.items()
            if sources.columns(connection, asking.layout, table)
        }
        return {f"{names.schema}.{table}": asking.counted(what)[0] for what, table in tables.items()}


def writers(conninfo: Mapping[str, str], names: Names) -> tuple[Session, ...]:
    """Return the sessions that write to the old tables now, or likely do."""
    with patient(conninfo) as connection, permitted():
        return _Look(connection, names).clients().writers


def elsewhere(conninfo: Mapping[str, str], names: Names, *, only_old: bool = False) -> tuple[str, ...]:
    """Return the other schemas that have a table of memories; `only_old`: of an older OpenMemory."""
    with patient(conninfo) as connection, permitted():
        found = _Look(connection, names).rows("elsewhere")
        return tuple(str(schema) for schema, is_old in found if is_old or not only_old)


def written(conninfo: Mapping[str, str], names: Names) -> int:
    """Return how many rows of the old tables were ever written, by PostgreSQL's statistics."""
    with patient(conninfo) as connection, permitted():
        return as_int(_Look(connection, names).rows("written")[0][0])


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The old vectors by their lengths."""

    dimensions: dict[int, int]
    """How many have so many dimensions, the most frequent first."""
    dimension: int
    empty: int
    odd: dict[str, int]
    """Those that are none, and those of no memory, by the reason."""


class _Look(Questions):
    """What is asked of an old database."""

    @cached_property
    def upgrade(self) -> dict[str, str]:
        """The record of an upgrade that was begun."""
        return record.read(self.connection, self.layout.names)

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """The columns of each old table."""
        return sources.all_columns(self.connection, self.layout)

    def found(self) -> Found:
        """Return all that is to be said."""
        counted = {what: self.counted(what) for what, columns in self.columns.items() if columns}
        vectors = self.vectors()
        not_finite, checked = self._not_finite(vectors.dimension, vectors.dimensions.get(vectors.dimension, 0))
        of_rows = rows_set_aside(self.connection, self.layout, self.columns, vectors.dimension)
        set_aside = {**vectors.odd, **not_finite, **{what: count for what, (count, _) in of_rows.items()}}
        ((server, installed, available),) = self.rows("server")
        room = {bool(may): str(name) for name, may in self.rows("tablespace")}
        sessions = self.clients()
        return Found(
            shape=shape_of(self.columns),
            schema=self.layout.names.schema,
            server_version=str(server),
            extension_installed=None if installed is None else str(installed),
            extension_available=None if available is None else str(available),
            rows={_TITLES.get(what, what): count for what, (count, _) in counted.items()},
            bytes=sum(size for _, size in counted.values()),
            text_bytes=self._text_bytes(),
            dimensions=vectors.dimensions,
            dimension=vectors.dimension,
            set_aside={what: count for what, count in set_aside.items() if count},
            examples={what: example for what, (_, example) in of_rows.items() if example},
            empty=vectors.empty,
            checked_finite=checked,
            left_alone=self._left_alone(),
            upgrade=self.upgrade,
            writers=sessions.writers,
            doubtful=sessions.doubtful,
            hidden_sessions=hidden(self),
            others=others(self),
            written=as_int(self.rows("written")[0][0]),
            twice=self._twice(),
            taken=() if self.upgrade else taken_names(self.connection, self.layout, is_staged=False),
            lookalikes=self._lookalikes(),
            dependants=self._dependants(),
            has_tenants=any("tenant_id" in self.columns[what] for what in ("memories", "users", "facts")),
            unfit_tenants=() if self.upgrade else unfit_tenants(self.connection, self.layout, self.columns),
            has_namesake=has_namesake(self.connection, self.layout, self.columns),
            tablespace=room.get(True, ""),
            forbidden_tablespace=room.get(False, ""),
            unmapped=unmapped(self.connection, self.layout, self.layout.names.schema),
        )

    def counted(self, what: str) -> tuple[int, int]:
        """Return the rows of an old table, and its disk in bytes."""
        table = self.layout.names.table(self.layout.old_tables[what])
        ((count, size),) = self.rows("rows", table=table, table_text=Layout.literal(table))
        return as_int(count), as_int(size)

    def vectors(self) -> _Vectors:
        """Return the old vectors by their lengths, of which none is read."""
        values, odd = self._values()
        empty = values.pop(0, 0)
        dimensions = {size: values[size] for size in sorted(values, key=lambda size: (-values[size], size))}
        dimension = int(self.upgrade.get("dimension", next(iter(dimensions), self.layout.names.dimension)))
        return _Vectors(dimensions, dimension, empty, odd)

    def _values(self) -> tuple[dict[int, int], dict[str, int]]:
        """Return the vectors of each dimension, and those without one by the reason; orphans count as such only."""
        if not self.columns["vectors"]:
            return {}, {"vectors: no value": sum(count for count, _ in self._memories())}
        sizes: dict[int, int] = {}
        odd = {"vectors: no memory has this id": 0, "vectors: no value": 0, _NO_FLOATS: 0}
        for length, has_memory, count in self.rows("vectors", bytes=self._length(), **self._memory):
            if not has_memory:
                odd["vectors: no memory has this id"] += as_int(count)
            elif length is None:
                odd["vectors: no value"] += as_int(count)
            elif as_int(length) % 4:
                odd[_NO_FLOATS] += as_int(count)
            else:
                sizes[as_int(length) // 4] = sizes.get(as_int(length) // 4, 0) + as_int(count)
        if self.columns["memories"]:
            odd["vectors: no value"] += as_int(self.rows("without_vector", **self._memory)[0][0])
        return sizes, odd

    @property
    def _memory(self) -> dict[str, str]:
        """Return how the memory of a vector is found."""
        memories, vectors = self.columns["memories"], self.columns["vectors"]
        are_uuids = memories.get("id") == vectors.get("id") == "uuid"
        same = "m.id = v.id" if are_uuids else f"{_one_writing('m.id')} = {_one_writing('v.id')}"
        # A join, which PostgreSQL can hash in parts; an EXISTS among the columns is asked for each row.
        ids = "(SELECT DISTINCT id FROM {old_memories_table})" if memories else "(SELECT NULL::text AS id WHERE false)"
        return {"memory_ids": self.layout.render(ids), "same_id": same}

    def _text_bytes(self) -> int:
        texts = [name for name in ("content", "tags", "meta") if name in self.columns["memories"]]
        each = " + ".join(f"coalesce(pg_column_size({name}), 0)" for name in texts)
        return as_int(self.rows("texts", each=each)[0][0]) if texts else 0

    def _memories(self) -> list[tuple[int, int]]:
        return [self.counted("memories")] if self.columns["memories"] else []

    @property
    def _value(self) -> str:
        """Return the column that holds the vectors: upstream's own bytes before anything else."""
        vectors = self.columns["vectors"]
        return "v.v" if "v" in vectors else "v.embedding" if "embedding" in vectors else "NULL::bytea"

    def _length(self) -> str:
        """Return the bytes that a value has as floats; one that is null in `v` is read from `embedding` beside it."""
        known = {name: self.columns["vectors"].get(name, "") for name in ("v", "embedding")}
        kinds = {name: kind for name, kind in known.items() if kind.startswith(("bytea", "vector", "halfvec"))}
        if list(kinds.values()) == ["bytea", "bytea"]:
            del kinds["embedding"]
        return (
            f"coalesce({', '.join(self._length_of(name, kind) for name, kind in kinds.items()) or 'NULL::int'}, NULL)"
        )

    def _length_of(self, name: str, kind: str) -> str:
        if kind == "bytea":
            return f"octet_length(v.{name})"
        fixed = re.search(r"\((\d+)\)", kind)
        if fixed is None:
            return f"(array_length(v.{name}::real[], 1) * 4)"
        return f"(CASE WHEN v.{name} IS NOT NULL THEN {fixed[1]} * 4 END)"

    def _not_finite(self, dimension: int, count: int) -> tuple[dict[str, int], bool]:
        if sources.vector_source(self.columns["vectors"]) != "bytes":
            return {}, True  # pgvector lets no such number in
        if count * dimension * 4 > _READ_AT_MOST_BYTES:
            return {}, False
        asked = self.rows("not_finite", value=self._value, own_bytes=str(dimension * 4), **self._memory)
        ((has_nan, infinite),) = asked
        return {"vectors: holds NaN": as_int(has_nan), "vectors: holds infinity": as_int(infinite)}, True

    def _twice(self) -> dict[str, tuple[int, str]]:
        """Return which keys are not what a new table's key allows, where the old one has no such key by itself."""
        twice = {}
        for what, and_by in (("memories", ""), ("vectors", ", sector")):
            columns, table = self.columns[what], self.layout.names.table(self.layout.old_tables[what])
            one_key = columns.get("id") == "uuid" and "tenant_id" not in columns
            keyed = one_key and self.rows("keyed", table_text=Layout.literal(table))[0][0]
            if columns and not keyed:
                ((count, example),) = self.rows("twice", table=table, and_by=and_by)
                twice[what] = (as_int(count), str(example))
        if self.columns["facts"]:
            twice["facts"] = facts_twice(self.connection, self.layout, self.columns)
        return {what: found for what, found in twice.items() if found[0]}

    def _lookalikes(self) -> dict[str, tuple[str, ...]]:
        missing = [what for what in ("memories", "vectors") if not self.columns[what]]
        found = self.rows("lookalikes") if missing else []
        alike = {
            "memories": tuple(str(name) for name, like_memories, _ in found if like_memories),
            "vectors": tuple(str(name) for name, _, like_vectors in found if like_vectors),
        }
        return {what: alike[what] for what in missing}

    def _dependants(self) -> tuple[Dependant, ...]:
        if "exchanged_at" in self.upgrade:
            return ()
        return dependants(self.connection, self.layout, self.layout.names.schema)

    def _left_alone(self) -> tuple[str, ...]:
        ours = {*OWN_TABLES, *self.layout.old_tables.values()}
        return tuple(str(name) for (name,) in self.rows("tables") if name not in ours)

    def clients(self) -> Clients:
        """Return the sessions that use the old tables which are there, or may."""
        return clients_of(self, [table for what, table in self.layout.old_tables.items() if self.columns[what]])


_TITLES = {"facts": "temporal_facts"}


def _one_writing(id_: str) -> str:
    """Return the expression of an id as text in which a UUID is written in one way, as the steps take it."""
    return (
        f"CASE WHEN {id_}::text ~* '^[0-9a-f]{{8}}-?([0-9a-f]{{4}}-?){{3}}[0-9a-f]{{12}}$'"
        f" THEN lower(replace({id_}::text, '-', '')) ELSE {id_}::text END"
    )
