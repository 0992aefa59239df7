"""Look at an old database before anything is done to it: its shape from the catalogue, its rows, who writes to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from psycopg import Connection

from openmemory.postgres.direct import find_types, patient, permitted
from openmemory.postgres.event_triggers import firing
from openmemory.postgres.hindrances import read_only
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade import kinds, record, sources
from openmemory.postgres.upgrade.clients import Clients, clients_of, hidden, others
from openmemory.postgres.upgrade.dependants import dependants
from openmemory.postgres.upgrade.foretold import (
    facts_twice,
    has_namesake,
    joined_tenants,
    rows_set_aside,
    taken_names,
    unfit_tenants,
)
from openmemory.postgres.upgrade.found import Dependant, Found, Session
from openmemory.postgres.upgrade.layout import OWN_TABLES, Layout
from openmemory.postgres.upgrade.lengths import Lengths, lengths, not_finite
from openmemory.postgres.upgrade.places import Columns
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.questions import Answer, Count, Counted, Name, Questions
from openmemory.postgres.upgrade.readable import check_readable
from openmemory.postgres.upgrade.refusals import not_kept_waiting
from openmemory.postgres.upgrade.sample import sampled
from openmemory.postgres.upgrade.shapes import shape_of
from openmemory.postgres.upgrade.unmapped import unmapped

__all__ = ["Elsewhere", "Found", "Session", "elsewhere", "look", "old_rows", "writers", "written"]


@dataclass(frozen=True, slots=True)
class _Server:
    """The versions of PostgreSQL, and of pgvector in the database and on the server's disk."""

    server: str
    installed: str | None
    available: str | None


@dataclass(frozen=True, slots=True)
class _Tablespace:
    name: str
    may_create: bool


@dataclass(frozen=True, slots=True)
class _Lookalike:
    """A table of another name with the columns of memories or of vectors."""

    name: str
    like_memories: bool
    like_vectors: bool


@dataclass(frozen=True, slots=True)
class _Size:
    """The rows of a table, and its disk."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Texts:
    """What texts take as they are kept, and how long the contents among them are."""

    bytes: int
    said: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A table of memories in another schema than the settings'; is it an older OpenMemory's?"""

    schema: str
    table: str
    is_old: bool

    def settings(self, names: Names) -> str:
        """Return the settings that lead there, of those that differ."""
        return f"OM_PG_SCHEMA={self.schema}" + ("" if self.table == names.memories else f" OM_PG_TABLE={self.table}")


_SERVER = statement("upgrade/look.server", _Server)
_TABLESPACE = statement("upgrade/look.tablespace", _Tablespace)
_TABLES = statement("upgrade/look.tables", Name)
_LOOKALIKES = statement("upgrade/look.lookalikes", _Lookalike)
_ROWS = statement("upgrade/look.rows", _Size)
_TEXTS = statement("upgrade/look.texts", _Texts)
_WRITTEN = statement("upgrade/look.written", Count)
_TWICE = statement("upgrade/look.twice", Counted)
_KEYED = statement("upgrade/look.keyed", Answer)
_ELSEWHERE = statement("upgrade/look.elsewhere", Elsewhere)
_TITLES = {"facts": "temporal_facts"}


def look(conninfo: Mapping[str, str], names: Names, plan: Plan | None = None) -> Found:
    """Return what there is and what lifting it takes; reads, and changes nothing.

    `plan` says whose the rows will be; its dimension does not count.
    Raises ConfigurationError where an old table hides rows, or is none that rows can be read from block by block.
    """
    with patient(conninfo) as connection, permitted(), not_kept_waiting(connection, conninfo, names):
        if "exchanged_at" not in record.read(connection, names):
            check_readable(connection, Layout(names, Plan(names.dimension)))
        find_types(connection, names.schema)
        return _look(connection, names, plan).found()


def own_dimension(conninfo: Mapping[str, str], names: Names) -> int:
    """Return the dimension of the vectors: what an upgrade began with, else the most frequent, else the settings'."""
    with patient(conninfo) as connection, permitted(), not_kept_waiting(connection, conninfo, names):
        return _look(connection, names).dimension


def old_rows(conninfo: Mapping[str, str], names: Names) -> dict[str, int]:
    """Return the rows of each old table that is in place, by its name with the schema."""
    with patient(conninfo) as connection, permitted():
        asking = _look(connection, names)
        tables = {
            what: table
            for what, table in asking.layout.old_tables.items()
            if sources.columns(connection, asking.layout, table)
        }
        return {f"{names.schema}.{table}": asking.size(what).count for what, table in tables.items()}


def writers(conninfo: Mapping[str, str], names: Names) -> tuple[Session, ...]:
    """Return the sessions that write to the old tables now, or likely do."""
    with patient(conninfo) as connection, permitted():
        return _look(connection, names).clients().writers


def elsewhere(conninfo: Mapping[str, str], names: Names, *, only_old: bool = False) -> tuple[Elsewhere, ...]:
    """Return the tables of memories in other schemas; `only_old`: of an older OpenMemory."""
    with patient(conninfo) as connection, permitted():
        found = _look(connection, names).all(_ELSEWHERE)
        return tuple(one for one in found if one.is_old or not only_old)


def written(conninfo: Mapping[str, str], names: Names) -> int:
    """Return how many rows of the old tables were ever written, by PostgreSQL's statistics."""
    with patient(conninfo) as connection, permitted():
        return _look(connection, names).one(_WRITTEN).count


def _look(connection: Connection, names: Names, plan: Plan | None = None) -> "_Look":
    return _Look(connection, Layout(names, plan or Plan(names.dimension)))


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

    @cached_property
    def lengths(self) -> Lengths:
        """The old vectors by their lengths."""
        return lengths(self, self.columns)

    @property
    def dimension(self) -> int:
        """The dimension of the vectors: what an upgrade began with, else the most frequent, else the settings'."""
        return int(self.upgrade.get("dimension", next(iter(self.lengths.dimensions), self.layout.names.dimension)))

    def found(self) -> Found:
        """Return all that is to be said."""
        sizes = {what: self.size(what) for what, columns in self.columns.items() if columns}
        vectors, dimension = self.lengths, self.dimension
        odd, checked = not_finite(self, self.columns, dimension, vectors.dimensions.get(dimension, 0))
        of_rows = rows_set_aside(self, self.columns, dimension)
        set_aside = {**vectors.odd, **odd, **{what: count for what, (count, _) in of_rows.items()}}
        server = self.one(_SERVER)
        room = {one.may_create: one.name for one in self.all(_TABLESPACE)}
        sessions, texts = self.clients(), self._texts()
        joined_users, joins_rest = ((), False) if self.upgrade else joined_tenants(self, self.columns)
        return Found(
            shape=shape_of(self.columns),
            schema=self.layout.names.schema,
            server_version=server.server,
            extension_installed=server.installed,
            extension_available=server.available,
            rows={_TITLES.get(what, what): size.count for what, size in sizes.items()},
            bytes=sum(size.bytes for size in sizes.values()),
            text_bytes=texts.bytes,
            said_bytes=texts.said,
            dimensions=vectors.dimensions,
            dimension=dimension,
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
            written=self.one(_WRITTEN).count,
            twice=self._twice(),
            taken=() if self.upgrade else taken_names(self, is_staged=False),
            lookalikes=self._lookalikes(),
            dependants=self._dependants(),
            event_triggers=firing(self.connection),
            has_tenants=any("tenant_id" in self.columns[what] for what in ("memories", "users", "facts")),
            unfit_tenants=() if self.upgrade else unfit_tenants(self, self.columns),
            has_namesake=has_namesake(self, self.columns),
            joined_users=joined_users,
            joins_rest=joins_rest,
            read_only=read_only(self.connection),
            tablespace=room.get(True, ""),
            forbidden_tablespace=room.get(False, ""),
            unmapped=unmapped(self.connection, self.layout, self.layout.names.schema),
            sampled=sampled(self, self.columns["vectors"], self.layout.render("{old_vectors_table}")),
        )

    def size(self, what: str) -> _Size:
        """Return the rows of an old table, and its disk."""
        table = self.layout.names.table(self.layout.old_tables[what])
        return self.one(_ROWS, table=table, table_text=Layout.literal(table))

    def _texts(self) -> _Texts:
        columns = self.columns["memories"]
        texts = [name for name in ("content", "tags", "meta") if name in columns]
        each = " + ".join(f"coalesce(pg_column_size({name}), 0)" for name in texts)
        # Of another type than text no length stands there, and compressed it is no longer.
        length = "octet_length" if kinds.is_text(columns.get("content", "")) else "pg_column_size"
        content = f"{length}(content)" if "content" in texts else "0"
        return self.one(_TEXTS, each=each, content=content) if texts else _Texts(0, 0)

    def _twice(self) -> dict[str, tuple[int, str]]:
        """Return which keys are not what a new table's key allows, where the old one has no such key by itself."""
        twice = {}
        for what, and_by in (("memories", ""), ("vectors", ", sector")):
            columns, table = self.columns[what], self.layout.names.table(self.layout.old_tables[what])
            one_key = columns.get("id") == "uuid" and "tenant_id" not in columns
            keyed = one_key and self.one(_KEYED, table_text=Layout.literal(table)).yes
            if columns and not keyed:
                twice[what] = self.one(_TWICE, table=table, and_by=and_by)
        if self.columns["facts"]:
            twice["facts"] = facts_twice(self, self.columns)
        return {what: (found.count, found.example) for what, found in twice.items() if found.count}

    def _lookalikes(self) -> dict[str, tuple[str, ...]]:
        missing = [what for what in ("memories", "vectors") if not self.columns[what]]
        found = self.all(_LOOKALIKES) if missing else []
        alike = {
            "memories": tuple(table.name for table in found if table.like_memories),
            "vectors": tuple(table.name for table in found if table.like_vectors),
        }
        return {what: alike[what] for what in missing}

    def _dependants(self) -> tuple[Dependant, ...]:
        if "exchanged_at" in self.upgrade:
            return ()
        return dependants(self.connection, self.layout, self.layout.names.schema)

    def _left_alone(self) -> tuple[str, ...]:
        ours = {*OWN_TABLES, *self.layout.old_tables.values()}
        return tuple(table.name for table in self.all(_TABLES) if table.name not in ours)

    def clients(self) -> Clients:
        """Return the sessions that use the old tables which are there, or may."""
        return clients_of(self, [table for what, table in self.layout.old_tables.items() if self.columns[what]])
