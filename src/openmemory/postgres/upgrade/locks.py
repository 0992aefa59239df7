"""The locks of an upgrade and of an import, and the types that its sessions must see."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import LiteralString

from psycopg import Connection, Error, sql
from psycopg.pq import TransactionStatus

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import extension_schema
from openmemory.postgres.upgrade.layout import MIGRATE_LOCK, Layout

# A policy on an old table would hide rows from its owner: an error, not fewer rows.
EVERY_ROW: LiteralString = "SET row_security = off"
ANOTHER = "another `openmemory {}` is at work on this database; let it finish, or stop it and run this again"
# An import runs steps of an upgrade inside its own lock.
_LOCKS = {"migrate": MIGRATE_LOCK, "import": 7_234_190_855_120_551_005}


@contextmanager
def the_only_one(connection: Connection, command: str = "migrate") -> Iterator[None]:
    """Hold the command's lock; raises ConfigurationError where another process has it."""
    lock = _LOCKS[command]
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock]).fetchone()
    if row != (True,):
        raise ConfigurationError(ANOTHER.format(command))
    try:
        yield
    finally:
        # Where a transaction failed, or the server has no memory left, there is no unlocking, and the error would be
        # hidden; closing unlocks as well.
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with suppress(Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", [lock])


def find_types(connection: Connection, layout: Layout) -> None:
    """Have the session see pgvector's types and operators, in whichever schema they are."""
    schemas = [layout.filled, *filter(None, [extension_schema(connection)])]
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas))))
