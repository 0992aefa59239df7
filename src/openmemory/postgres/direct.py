"""A connection past any pooler, for work that belongs to a session: migrations, locks, checks at start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg import Connection

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.failures import first_line


@contextmanager
def connected(conninfo: Mapping[str, str]) -> Iterator[Connection]:
    """Open one connection in autocommit mode; raises DatabaseUnavailable, without the password."""
    try:
        connection = psycopg.connect(autocommit=True, **conninfo)  # type: ignore[arg-type]  # libpq's keywords are text
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"cannot connect: {first_line(error)}") from error
    with connection:
        yield connection
