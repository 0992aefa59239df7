"""A sign of life from PostgreSQL while requests have every connection of the pool."""

from collections.abc import Mapping

import psycopg

from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.openings import Connection
from openmemory.postgres.pool import connect
from openmemory.postgres.reaching import is_full


class Pulse:
    """One more connection, made when it is needed first and kept: requests never make it wait."""

    def __init__(self, conninfo: Mapping[str, str]) -> None:
        self._conninfo = conninfo
        self._kept: Connection | None = None
        self._is_closed = False

    async def feel(self) -> None:
        """Return when PostgreSQL answers, while connections of the pool are at work; raises DatabaseUnavailable.

        A PostgreSQL that has no room for one more connection is there, and serves those of the pool.
        """
        kept, self._kept = self._kept, None  # so that one that hangs is not waited for by the next who asks
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
        """Close the connection, if there is one, and keep none that is made yet."""
        self._is_closed = True
        await self._replace(None)

    async def _keep(self, connection: Connection) -> None:
        if self._is_closed:
            await connection.close()
        else:
            await self._replace(connection)

    async def _replace(self, connection: Connection | None) -> None:
        kept, self._kept = self._kept, connection  # at once, for another asker may have made one meanwhile
        if kept is not None:
            await kept.close()


async def _answers(connection: Connection) -> bool:
    """Return whether a connection answers; one that does not is closed."""
    try:
        await connection.execute("SELECT 1")
    except BaseException as error:
        await connection.close()
        if isinstance(error, psycopg.Error):
            return False
        raise
    return True
