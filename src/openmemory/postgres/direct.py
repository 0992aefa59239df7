"""A connection past any pooler, for work that belongs to a session: migrations, locks, checks at start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import Connection

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.failures import first_line

_LOCK = 7_234_190_855_120_551_001


@contextmanager
def connected(conninfo: Mapping[str, str]) -> Iterator[Connection]:
    """Open one connection in autocommit mode; raises DatabaseUnavailable, without the password."""
    try:
        connection = psycopg.connect(autocommit=True, **conninfo)  # type: ignore[arg-type]  # libpq's keywords are text
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"cannot connect: {first_line(error)}") from error
    with connection:
        yield connection


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Hold the session's advisory lock, so that two servers starting at once do not change the database together."""
    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
