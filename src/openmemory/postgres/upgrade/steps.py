"""The five steps of an upgrade, each resumed where it was; and what was found when they are over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres import migrate, roles
from openmemory.postgres.direct import connected, find_types, patient
from openmemory.postgres.locks import the_only_one
from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade import record, sources
from openmemory.postgres.upgrade.building import build
from openmemory.postgres.upgrade.layout import OWN_TABLES, Layout
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress, Report
from openmemory.postgres.upgrade.questions import Name, Questions
from openmemory.postgres.upgrade.readable import check_readable
from openmemory.postgres.upgrade.refusals import check_versions, explained, refuse_taken_names
from openmemory.postgres.upgrade.rows import lift_rows
from openmemory.postgres.upgrade.script import guard
from openmemory.postgres.upgrade.texts import fill_texts
from openmemory.postgres.upgrade.vectors import convert_vectors

OnProgress = Callable[[Progress], None]

# The steps that read old rows, which must be in one table each and all be seen.
READING = (1, 2, 3)
# A policy on an old table would hide rows from its owner: an error, not fewer rows.
_EVERY_ROW: LiteralString = "SET row_security = off"


@dataclass(frozen=True, slots=True)
class _SetAside:
    """What was set aside for one reason, and the id of one of them."""

    reason: str
    count: int
    example: str


_SET_ASIDE = statement("upgrade/steps.set_aside", _SetAside)
_TABLES = statement("upgrade/look.tables", Name)


def upgrade(
    conninfo: Mapping[str, str],
    names: Names,
    plan: Plan,
    on_progress: OnProgress = lambda _: None,
    only: str | None = None,
    *,
    login: str | None = None,
    index: IndexChoice | None = None,
) -> Report:
    """Run the steps that are not finished, or `only` one of them, and return what came of it.

    Each goes on where it was stopped. `login` is the role to serve with, None where the owner serves. Raises
    ConfigurationError with the way out; nothing of the old tables is changed before the end of the last step.
    """
    done = []
    with patient(conninfo) as connection, the_only_one(connection):
        connection.execute(_EVERY_ROW)
        recorded = record.read(connection, names)
        layout = Layout(names, record.begun_with(recorded, plan))
        if recorded:
            record.write(connection, layout, {"embedding_model": layout.plan.embedding_model})
        work = _Work(conninfo, connection, layout, on_progress, login, index or IndexChoice())
        for number, step in enumerate(STEPS, 1):
            if only in {None, step} and work.finished < number:
                if work.finished < number - 1:
                    raise ConfigurationError(f"{step} needs {STEPS[number - 2]}; run that first")
                with explained(step, conninfo, names):
                    work.run(number)
                done.append(step)
        return work.report(tuple(done))


def state(conninfo: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return the record of an upgrade: "step" is the last one finished, "done" after the last; {} where none began."""
    with connected(conninfo) as connection:
        return record.read(connection, names)


@dataclass(frozen=True, slots=True)
class _Work:
    """One run of an upgrade on one connection."""

    conninfo: Mapping[str, str]
    connection: Connection
    layout: Layout
    on_progress: OnProgress
    login: str | None
    index: IndexChoice

    @property
    def finished(self) -> int:
        """Return the number of the last step that is finished."""
        step = record.read(self.connection, self.layout.names).get("step", "0")
        return len(STEPS) if step == record.DONE else int(step)

    def run(self, number: int) -> None:
        """Run a step to its end and record it."""
        if number in READING:
            check_readable(self.connection, self.layout)
        (self._enable, self._add_tenants, self._convert, self._key, self._index)[number - 1](STEPS[number - 1])
        if number < len(STEPS):
            record.write(self.connection, self.layout, {"step": f"{number:03}"})

    def report(self, done: tuple[str, ...]) -> Report:
        """Return the rows of each new table, and what was set aside."""
        recorded = record.read(self.connection, self.layout.names) if self.finished == len(STEPS) else {}
        rows = {name[5:]: int(value) for name, value in recorded.items() if name.startswith("rows_")}
        aside = _set_aside(self.connection, self.layout)
        counts = {one.reason: one.count for one in aside}
        examples = {one.reason: one.example for one in aside if one.example}
        return Report(done, rows, counts, examples, _left_alone(self.connection, self.layout))

    def _enable(self, step: str) -> None:
        roles.prepare_app_role(self.conninfo, self.layout.names)
        check_versions(self.connection)
        self._execute(step, "extension")
        check_versions(self.connection)
        for name in ("record", "quarantine"):
            self._execute(step, name)
        with self.connection.transaction():
            record.write(self.connection, self.layout, record.decisions(self.layout))
        migrate.migrate(self.conninfo, self.layout.staging)
        refuse_taken_names(self.connection, self.layout)
        self._find_types()
        self._execute(step, "unkey")
        self._execute(step, "move")
        with self.connection.transaction():
            self.connection.execute(self.layout.render("SET LOCAL lock_timeout = {lock_timeout}").encode())
            for what in self.layout.old_tables:
                self.connection.execute(guard(self.layout, what).encode())
        sources.create_views(self.connection, self.layout)

    def _add_tenants(self, step: str) -> None:
        self._find_types()
        self._execute("session", "functions")
        for name in (block for block in self.layout.blocks(step) if block not in {"lift", "find", "analyze"}):
            self._execute(step, name)
        lift_rows(self.connection, self.layout, self.on_progress)
        build(self.conninfo, self.connection, self.layout, step, ("find", "analyze"), self.on_progress)

    def _convert(self, step: str) -> None:
        self._find_types()
        self._execute("session", "functions")
        self._execute(STEPS[1], "owners")
        self._execute(step, "notes")
        source = sources.vector_source(sources.columns(self.connection, self.layout, self.layout.names.vectors))
        with patient(self.conninfo) as reader:
            reader.execute(_EVERY_ROW)
            find_types(reader, self.layout.filled)
            convert_vectors(self.connection, reader, self.layout, source, self.on_progress)

    def _key(self, step: str) -> None:
        self._find_types()
        fill_texts(self.connection, self.layout, self.on_progress)
        build(self.conninfo, self.connection, self.layout, step, tuple(self.layout.blocks(step)), self.on_progress)

    def _index(self, step: str) -> None:
        layout = self.layout
        if "exchanged_at" not in record.read(self.connection, layout.names):
            self._find_types()
            fill_texts(self.connection, self.layout, self.on_progress)
            names = tuple(name for name in layout.blocks(step) if name not in {"counted", "exchange"})
            build(self.conninfo, self.connection, layout, step, names, self.on_progress, self.index)
            self.on_progress(Progress(step, "counting", 0, 0))
            for name in ("counted", "exchange"):
                self._execute(step, name)
        roles.grant(self.conninfo, layout.lifted, self.login)
        with self.connection.transaction():
            finished = {"step": record.DONE, "finished_at": record.now(self.connection)}
            record.write(self.connection, layout, finished)

    def _execute(self, step: str, name: str) -> None:
        self.connection.execute(self.layout.block(step, name).encode())

    def _find_types(self) -> None:
        find_types(self.connection, self.layout.filled)
        self._execute("session", "room")


def _set_aside(connection: Connection, layout: Layout) -> list[_SetAside]:
    is_begun = record.read(connection, layout.names)
    return Questions(connection, layout).all(_SET_ASIDE) if is_begun else []


def _left_alone(connection: Connection, layout: Layout) -> tuple[str, ...]:
    """Return the tables of the schema that upstream made and we neither use nor touch, and others' tables."""
    ours = {*OWN_TABLES, *layout.names.tenant_tables, "openmemory_meta", "openmemory_tenants", "openmemory_migrations"}
    return tuple(table.name for table in Questions(connection, layout).all(_TABLES) if table.name not in ours)
