"""The locks of an upgrade and of an import, and the types that its sessions must see."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection, Error, sql
from psycopg.pq import TransactionStatus

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import extension_schema
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade.layout import MIGRATE_LOCK, Layout

# A policy on an old table would hide rows from its owner: an error, not fewer rows.
EVERY_ROW: LiteralString = "SET row_security = off"
# An import runs steps of an upgrade inside its own lock.
_LOCKS = {"migrate": MIGRATE_LOCK, "import": 7_234_190_855_120_551_005, "reembed": 7_234_190_855_120_551_004}


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds a command's lock, and since when its statement runs or has run."""

    pid: int
    application: str
    state: str
    since: str | None

    def __str__(self) -> str:
        told = ", ".join(filter(None, [repr(self.application), self.state, self.since and f"since {self.since}"]))
        return f"pid {self.pid} ({told})"


_HOLDER = statement("upgrade/locks.holder", Holder)


@contextmanager
def the_only_one(connection: Connection, command: str = "migrate") -> Iterator[None]:
    """Hold the command's lock; raises ConfigurationError where another process has it."""
    lock = _LOCKS[command]
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone()
    if row != (True,):
        raise _another(command, _holder(connection, command))
    try:
        yield
    finally:
        # Where a transaction failed, or the server has no memory left, there is no unlocking, and the error would be
        # hidden; closing unlocks as well.
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with suppress(Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", [lock])


def refuse_beside(connection: Connection, command: str = "migrate") -> None:
    """Raise ConfigurationError where another process, or a step in psql, holds the command's lock."""
    if holder := _holder(connection, command):
        raise _another(command, holder)


def _holder(connection: Connection, command: str) -> Holder | None:
    with connection.cursor(row_factory=_HOLDER.rows) as cursor:
        return cursor.execute(_HOLDER.template.encode(), {"lock": _LOCKS[command]}).fetchone()


def _another(command: str, holder: Holder | None) -> ConfigurationError:
    """Return the refusal; who held the lock may have gone meanwhile, and is then not named."""
    said = f"another `openmemory {command}` is at work on this database"
    if holder is None:
        return ConfigurationError(f"{said}; let it finish, or stop it and run this again")
    return ConfigurationError(
        f"{said}: {holder}. Let it finish, or stop it and run this again. Where its process is gone, end its session:"
        f" SELECT pg_terminate_backend({holder.pid})"
    )


def find_types(connection: Connection, layout: Layout) -> None:
    """Have the session see pgvector's types and operators, in whichever schema they are."""
    schemas = [layout.filled, *filter(None, [extension_schema(connection)])]
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas))))
