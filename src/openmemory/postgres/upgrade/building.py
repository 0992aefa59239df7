"""The blocks of steps 002, 004 and 005 that build and prove, with the progress that PostgreSQL shows of them."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import psycopg
from psycopg import Connection

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import connected
from openmemory.postgres.shared_indexes import IndexChoice, give_memory, statements
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress
from openmemory.postgres.upgrade.questions import Name

OnProgress = Callable[[Progress], None]

_LOOK_EVERY_S = 0.5
_TRANSACTION = re.compile(r"\bBEGIN;\n(.*)\nCOMMIT;", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Phase:
    """What PostgreSQL does for an index, and how far that is."""

    phase: str
    done: int
    total: int


_PROGRESS = statement("upgrade/building.progress", _Phase)
_WAITED_FOR = statement("upgrade/building.waited_for", Name)


def build(
    conninfo: Mapping[str, str],
    connection: Connection,
    layout: Layout,
    step: str,
    blocks: tuple[str, ...],
    on_progress: OnProgress,
    index: IndexChoice | None = None,
) -> None:
    """Run the blocks of a step that are not recorded yet, each recorded when it is done.

    What an interrupted CREATE INDEX CONCURRENTLY left behind is dropped first, and built again.
    """
    connection.execute(layout.block("session", "broken").encode())
    for name in blocks:
        if name == "sound":
            _build_shared(conninfo, connection, layout, step, index or IndexChoice(), on_progress)
        done = f"{step}.{name}"
        if done in record.read(connection, layout.names):
            continue
        text = layout.block(step, name)
        with _watched(conninfo, connection, Progress(step, name.replace("_", " "), 0, 0), on_progress):
            if _TRANSACTION.search(text):
                with connection.transaction():
                    connection.execute(body(text).encode())
                    record.write(connection, layout, {done: record.DONE})
            else:
                connection.execute(text.encode())
                record.write(connection, layout, {done: record.DONE})


def body(block: str) -> str:
    """Return a block without its own BEGIN and COMMIT, for a transaction that holds more."""
    transaction = _TRANSACTION.search(block)
    return transaction[1] if transaction else block


def _build_shared(
    conninfo: Mapping[str, str],
    connection: Connection,
    layout: Layout,
    step: str,
    index: IndexChoice,
    on_progress: OnProgress,
) -> None:
    shared = statements(layout.staging, index)
    if shared:
        give_memory(connection, layout.staging, index)
    for name, text in shared.items():
        with _watched(conninfo, connection, Progress(step, name, 0, 0), on_progress):
            connection.execute(text.encode())


@contextmanager
def _watched(
    conninfo: Mapping[str, str], connection: Connection, begun: Progress, on_progress: OnProgress
) -> Iterator[None]:
    """Report what PostgreSQL says of an index while it is built, and whom the builder waits for.

    It looks from a connection beside the builder's.
    """
    on_progress(begun)
    over = Event()
    pid = connection.info.backend_pid

    def look() -> None:
        try:
            with connected(conninfo) as watcher:
                while not over.wait(_LOOK_EVERY_S):
                    for now in asked(watcher, _PROGRESS, pid=pid):
                        on_progress(Progress(begun.step, f"{begun.doing}: {now.phase}", now.done, now.total))
                    for session in asked(watcher, _WAITED_FOR, pid=pid):
                        on_progress(Progress(begun.step, f"{begun.doing}: waits for {session.name}", 0, 0))
        except (psycopg.Error, DatabaseUnavailable):
            return  # the builder says what is wrong with the server

    watching = Thread(target=look, name="index-progress", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
