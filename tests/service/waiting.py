"""Who waits in PostgreSQL for a lock that a test holds."""

import asyncio
from dataclasses import dataclass

from openmemory.postgres.database import Database
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Statement


@dataclass(frozen=True)
class _Waiting:
    sessions: int


_WAITING = Statement(
    "waiting.sessions",
    "SELECT count(*) AS sessions FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    _Waiting,
    rows_of(_Waiting),
)


async def somebody_waits(database: Database) -> None:
    """Wait until a session of the database waits for a lock."""
    async with asyncio.timeout(10):
        waits = False
        while not waits:
            async with database.registry() as tx:
                found = await tx.one(_WAITING)
            waits = found is not None and found.sessions > 0
