"""Rows of upstream's tables, from a file, into one tenant: by the steps of an upgrade, then through the walls."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg import Connection, Cursor, sql

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import find_types, patient
from openmemory.postgres.locks import Lock, the_only_one
from openmemory.postgres.statements import Names, Row, Statement, blocks, schema_beside, statement
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.questions import Count
from openmemory.postgres.upgrade.refusals import KEPT, explained
from openmemory.postgres.upgrade.steps import upgrade

Rows = Callable[[str], Iterable[tuple[object, ...]]]
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
OnProgress = Callable[[Progress], None]

_SCHEMA = "openmemory_import"
_TABLES = ("memories", "vectors", "waypoints", "users", "temporal_facts")
_STEP = "import"
_AT_ONCE = 256
_NOT_SAID = "vectors: not said to be of the database's model; say so (--embedding-model) and run this again"
_AGAIN = "Run the same command again; what the tenant has already stays as it is"


@dataclass(frozen=True, slots=True)
class Already:
    """Rows that were not added for what the tenant has: the same, or something that they contradict."""

    same: int
    contradicting: int
    first_ids: tuple[str, ...]
    """The first of those that contradict."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came across, and what did not.

    Rows that were added and those that the tenant has already, by table; vectors given to memories that were there
    without one; what was set aside or left out, by reason; texts embedded.
    """

    added: dict[str, int]
    already: dict[str, Already]
    filled: int
    set_aside: dict[str, int]
    embedded: int


@dataclass(frozen=True, slots=True)
class Source:
    """Upstream's tables: the columns of each that is there, and its rows in their order."""

    columns: Mapping[str, Sequence[str]]
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Held:
    """What the tenant has already of one table of the file."""

    source: str
    same: int
    contradicting: int
    first_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Memory:
    id: UUID
    content: str


_MEMORIES = statement("imports.memories", Count)
_ALREADY = statement("imports.already", _Held)
_WITHOUT_VECTOR = statement("imports.without_vector", _Memory)


def import_rows(
    conninfo: Mapping[str, str],
    names: Names,
    tenant: str,
    source: Source,
    embed: Embed | None,
    on_progress: OnProgress = lambda _: None,
    *,
    keep_vectors: bool,
) -> Imported:
    """Bring `source` into `tenant`, and return what came of it; what the tenant has already stays as it is.

    With `keep_vectors` the old vectors are taken bit for bit; memories that then have none are embedded by `embed`.
    Interrupted, it is run again: the tenant's own rows are written in one transaction.
    """
    beside = replace(names, schema=schema_beside(_SCHEMA, names.schema))
    plan = Plan(names.dimension, tenant=tenant)
    with (
        _told_as_import(),
        patient(conninfo) as connection,
        the_only_one(connection, Lock.IMPORT),
        explained(_STEP, conninfo, names),
    ):
        work = _Import(connection, names, Layout(beside, plan), tenant)
        try:
            work.load(source, on_progress)
            report = [upgrade(conninfo, beside, plan, on_progress, only=step) for step in STEPS[:3]][-1]
            dropped = 0 if keep_vectors else work.drop_vectors()
            merged, ids = work.merge()
        finally:
            if not connection.broken:  # or its error would hide the one that broke it; the next run cleans
                work.clean()
        embedded = work.embed_missing(ids, embed, on_progress) if embed else 0
    anew = embed is not None and not keep_vectors
    left_out = {**report.set_aside, **({_NOT_SAID: dropped} if dropped else {})}
    left_out = {why: count for why, count in left_out.items() if not (anew and why.startswith("vectors"))}
    return replace(merged, set_aside=left_out, embedded=embedded)


@contextmanager
def _told_as_import() -> Iterator[None]:
    """Have the refusals of an upgrade's steps name the way on of an import."""
    try:
        yield
    except (ConfigurationError, DatabaseUnavailable) as error:
        raise type(error)(error.detail.replace(KEPT, _AGAIN)) from error


class _Import:
    def __init__(self, connection: Connection, names: Names, layout: Layout, tenant: str) -> None:
        self.connection = connection
        self.names = names
        self.layout = layout
        self.tenant = tenant

    def load(self, source: Source, on_progress: OnProgress) -> None:
        """Copy the source's tables as they are into a schema of their own."""
        self.clean()
        beside = self.layout.names
        self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(beside.schema)))
        self.connection.execute(beside.render(blocks("imports")["tables"]).encode())
        for table, columns in source.columns.items():
            listed = ", ".join(columns)
            with self.connection.cursor().copy(
                beside.render(f"COPY {{{table}}} ({listed}) FROM STDIN").encode()
            ) as copy:
                for done, row in enumerate(source.rows(table)):
                    copy.write_row(row)
                    if done % 10_000 == 0:
                        on_progress(Progress(_STEP, f"reading {table}", done, 0))
        self.connection.execute(beside.render("ANALYZE {memories}").encode())

    def drop_vectors(self) -> int:
        """Leave the file's vectors out; return how many there were."""
        query = "UPDATE {vectors} SET embedding = NULL WHERE embedding IS NOT NULL"
        return self.connection.execute(self.layout.staging.render(query).encode()).rowcount

    def merge(self) -> tuple[Imported, list[UUID]]:
        """Write what the tenant does not have, as its role; return that, and the ids of the file's memories."""
        staging = self.layout.staging
        role = sql.Identifier(self.names.app_role).as_string()
        grants = (
            staging.render(f"GRANT USAGE ON SCHEMA {{schema}} TO {role}"),
            staging.render(f"GRANT SELECT ON ALL TABLES IN SCHEMA {{schema}} TO {role}"),
        )
        ids = [row[0] for row in self.connection.execute(staging.render("SELECT id FROM {memories}").encode())]
        for grant in grants:
            self.connection.execute(grant.encode())
        tenants = self._render("INSERT INTO {tenants} (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING")
        with self.connection.transaction():
            self.connection.execute(tenants, [self.tenant])
            with self._inside():
                given = {"tenant": self.tenant}
                already = self._already(given)
                filled = self._run("fill", given).rowcount
                added = {"users": self._run("users", given).rowcount}
                (memories,) = self._asked(_MEMORIES, given)
                added["memories"] = memories.count
                added["waypoints"] = self._run("waypoints", given).rowcount
                added["temporal_facts"] = self._run("facts", given).rowcount
        return Imported(added, already, filled, {}, 0), ids

    def _already(self, given: Mapping[str, object]) -> dict[str, Already]:
        found = self._asked(_ALREADY, given)
        return {one.source: Already(one.same, one.contradicting, tuple(one.first_ids)) for one in found}

    def embed_missing(self, ids: Sequence[UUID], embed: Embed, on_progress: OnProgress) -> int:
        """Embed those of the memories that have no vector; return how many those were."""
        done = 0
        find_types(self.connection, self.names.schema)
        for start in range(0, len(ids), _AT_ONCE):
            given = {"tenant": self.tenant, "ids": list(ids[start : start + _AT_ONCE])}
            with self.connection.transaction(), self._inside():
                found = self._asked(_WITHOUT_VECTOR, given)
            if found:
                embeddings = embed([memory.content for memory in found])
                texts = ["[" + ",".join(map(str, one.tolist())) + "]" for one in embeddings]
                rows = {"tenant": self.tenant, "ids": [memory.id for memory in found], "embeddings": texts}
                given = {**rows, "nothing": []}  # a vector of theirs that says nothing stays
                with self.connection.transaction(), self._inside():
                    self.connection.execute(self._render(blocks("reembedding")["repair"]), given)
                done += len(found)
            on_progress(Progress(_STEP, "embedding", min(len(ids), start + _AT_ONCE), len(ids)))
        return done

    def clean(self) -> None:
        """Drop what an import makes beside the tenants' tables."""
        for schema in (self.layout.filled, self.layout.names.schema):
            self.connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Work as the tenants' role inside the one tenant, to the end of the transaction."""
        self.connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(self.names.app_role)))
        self.connection.execute("SELECT set_config('app.current_tenant', %s, true)", [self.tenant])
        yield
        self.connection.execute("RESET ROLE")

    def _asked(self, statement: Statement[Row], given: Mapping[str, object]) -> list[Row]:
        return asked(self.connection, statement, self._render(statement.template), **given)

    def _run(self, block: str, given: Mapping[str, object]) -> Cursor[tuple[object, ...]]:
        return self.connection.execute(self._render(blocks("imports")[block]), given)

    def _render(self, template: str) -> bytes:
        staging = self.layout.staging
        more = {f"new_{table}": staging.render(f"{{{table}}}") for table in _TABLES}
        more["used_vectors"] = self.names.table(self.names.vectors)
        return self.names.render_with_params(template, more)
