"""The advisory locks of a database: whoever changes it as a whole does so alone."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum

from psycopg import Connection, Error
from psycopg.pq import TransactionStatus

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import first
from openmemory.postgres.statements import statement


class Lock(IntEnum):
    """The keys; the last three are named as the commands that hold them."""

    SCHEMA = 7_234_190_855_120_551_001
    """While migrations are applied, by whichever command."""
    START = 7_234_190_855_120_551_002
    """While a server or a command brings the database up."""
    MIGRATE = 7_234_190_855_120_551_003
    """While an upgrade is at work, also by psql."""
    REEMBED = 7_234_190_855_120_551_004
    IMPORT = 7_234_190_855_120_551_005
    """An import runs steps of an upgrade inside."""


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


_HOLDER = statement("locks.holder", Holder)
_WAITING = {
    Lock.START: "waiting for another start, or `openmemory migrate`, that is bringing this database up",
    Lock.SCHEMA: "waiting for another process that changes this database's tables or roles",
}


@contextmanager
def the_only_one(connection: Connection, lock: Lock = Lock.MIGRATE) -> Iterator[None]:
    """Hold a command's lock; raises ConfigurationError where another process has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone()
    if row != (True,):
        raise _another(lock, holder_of(connection, lock))
    try:
        yield
    finally:
        # Where a transaction failed, or the server has no memory left, there is no unlocking, and the error would be
        # hidden; closing unlocks as well.
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with suppress(Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", [lock])


def refuse_beside(connection: Connection, lock: Lock = Lock.MIGRATE) -> None:
    """Raise ConfigurationError where another process, or a step in psql, holds a command's lock."""
    if holder := holder_of(connection, lock):
        raise _another(lock, holder)


def holder_of(connection: Connection, lock: Lock) -> Holder | None:
    """Return the session that holds a lock; None where nobody does."""
    return first(connection, _HOLDER, lock=lock)


def waiting_for(lock: Lock, holder: Holder | None) -> str:
    """Return what somebody says who waits for a lock; its holder may have gone meanwhile, and is then not named."""
    said = _WAITING[lock]
    if holder is None:
        return said
    return f"{said}: {holder} has the lock. {_ended(holder)}"


def _another(lock: Lock, holder: Holder | None) -> ConfigurationError:
    """Return the refusal; who held the lock may have gone meanwhile, and is then not named."""
    said = f"another `openmemory {lock.name.lower()}` is at work on this database"
    if holder is None:
        return ConfigurationError(f"{said}; let it finish, or stop it and run this again")
    return ConfigurationError(f"{said}: {holder}. Let it finish, or stop it and run this again. {_ended(holder)}")


def _ended(holder: Holder) -> str:
    return f"Where its process is gone, end its session: SELECT pg_terminate_backend({holder.pid})"
