"""Ask whether PostgreSQL answers while requests hold every connection of the pool."""

from collections.abc import Mapping

import psycopg

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.openings import Connection
from openmemory.postgres.pool import connect
from openmemory.postgres.unreachable import is_full


class Pulse:
    """A connection beside the pool, made at first use and kept, so that it never waits for requests."""

    def __init__(self, conninfo: Mapping[str, str]) -> None:
        self._conninfo = conninfo
        self._kept: Connection | None = None
        self._is_closed = False

    async def feel(self) -> None:
        """Return when PostgreSQL answers; raises DatabaseUnavailable.

        "Too many connections" is an answer as well: PostgreSQL runs and serves the connections of the pool.
        """
        kept, self._kept = self._kept, None  # so that the next caller does not wait for a connection that hangs
        if kept is not None and await _answers(kept):
            await self._keep(kept)
            return
        try:
            fresh = await connect(self._conninfo)
        except psycopg.Error as error:
            if is_full(error):
                return
            raise DatabaseUnavailable("PostgreSQL lets nobody in") from error
        if not await _answers(fresh):
            raise DatabaseUnavailable("PostgreSQL does not answer")
        await self._keep(fresh)

    async def close(self) -> None:
        """Close the connection, and each that is still being made."""
        self._is_closed = True
        await self._replace(None)

    async def _keep(self, connection: Connection) -> None:
        if self._is_closed:
            await connection.close()
        else:
            await self._replace(connection)

    async def _replace(self, connection: Connection | None) -> None:
        kept, self._kept = self._kept, connection  # in one step: another caller may have made a connection meanwhile
        if kept is not None:
            await kept.close()


async def _answers(connection: Connection) -> bool:
    """Return whether a connection answers; close it if not."""
    try:
        await connection.execute("SELECT 1")
    except BaseException as error:
        await connection.close()
        if isinstance(error, psycopg.Error):
            return False
        raise
    return True
