"""Reinforcement on recall, written after the answers and many at once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import structlog

from openmemory.core.scope import Scope
from openmemory.errors import DatabaseConflict, DatabaseUnavailable, OpenMemoryError, Overloaded
from openmemory.postgres import memories
from openmemory.postgres.database import Database
from openmemory.service.clock import Clock

RECALL_BOOST = 0.01
_EVERY_S = 5.0
_AT_THE_END_S = 10.0
_WAITING_AT_MOST, _OF_A_TENANT = 100_000, 10_000
_AT_ONCE = 1_000

log = structlog.get_logger()


class Recalls:
    """Remembers which memories were recalled and reinforces each once every few seconds, however often it came up.

    So reading never waits for a write. A recall is lost if the process ends before it is written, or if 100,000 wait
    already (10,000 of the tenant). That costs a little salience and no memory.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[str, set[UUID]] = {}
        self._count = 0

    def note(self, scope: Scope, ids: Sequence[UUID]) -> None:
        """Note that memories were recalled."""
        waiting = self._waiting.get(scope.tenant, set())
        if not ids or self._count >= _WAITING_AT_MOST or len(waiting) >= _OF_A_TENANT:
            return
        before = len(waiting)
        waiting.update(ids)
        self._waiting[scope.tenant] = waiting
        self._count += len(waiting) - before

    async def flush(self) -> int:
        """Reinforce the memories recalled since the last flush, and return how many they were.

        If PostgreSQL is away or requests hold every connection, the rest waits for the next flush: otherwise each
        tenant in turn would wait for a connection.
        """
        done = 0
        for tenant in list(self._waiting):
            scope, ids = Scope(tenant), sorted(self._waiting.pop(tenant))
            self._count -= len(ids)
            try:
                while ids:
                    async with self._database.tenant(scope) as tx:
                        done += await memories.reinforce(tx, ids[:_AT_ONCE], RECALL_BOOST, self._clock())
                    ids = ids[_AT_ONCE:]
            except asyncio.CancelledError:
                self.note(scope, ids)
                raise
            except (DatabaseUnavailable, Overloaded) as error:
                self.note(scope, ids)
                log.warning("recalls.wait", memories=self._count, reason=error.code)
                if not isinstance(error, DatabaseConflict):
                    return done
            except Exception as error:  # the job must outlive one tenant's trouble
                reason = error.code if isinstance(error, OpenMemoryError) else type(error).__name__
                log.warning("recalls.lost", tenant=tenant, memories=len(ids), reason=reason)
        return done

    async def run(self) -> None:
        """Flush every few seconds until cancelled, then once more for at most ten seconds."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                await self.flush()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_AT_THE_END_S):
                    await self.flush()
