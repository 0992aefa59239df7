"""The same write sent twice is done once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import structlog

from openmemory.core.memory import JsonValue
from openmemory.core.scope import Scope
from openmemory.errors import IdempotencyConflict, IdempotencyMismatch, OpenMemoryError
from openmemory.postgres import idempotency, registry
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.idempotency import Claim, FirstAnswer
from openmemory.service.clock import Clock

log = structlog.get_logger()

Result = TypeVar("Result")
# A write calls its seal with its result, at the end of its transaction.
Seal = Callable[[TenantTx, Result], Awaitable[None]]

KEPT = timedelta(hours=24)
# A request without a sign of life for so long counts as left by a dead process: the next request takes over its key.
# If it runs after all, its own transaction finds the key gone and rolls back, so this may be short.
_ABANDONED = timedelta(seconds=20)
_HEARTBEAT_S = 5.0
_DONE = 200
_TENANTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and whether it is the first one given again."""

    answer: JsonValue
    replayed: bool


class Idempotency:
    """Runs a write once for each key of a tenant's credential."""

    def __init__(self, database: Database, clock: Clock, heartbeat_s: float = _HEARTBEAT_S) -> None:
        self._database = database
        self._clock = clock
        self._heartbeat_s = heartbeat_s

    async def once(
        self,
        scope: Scope,
        credential: str,
        key: str,
        digest: bytes,
        write: Callable[[Seal[Result]], Awaitable[Result]],
        answered: Callable[[Result], JsonValue],
    ) -> Outcome:
        """Run `write` unless it ran before with this key, and return its result as `answered` encodes it.

        `write` gets a seal, which records the answer in the write's own transaction: whenever the process dies, both
        are there or neither. An answer that `write` does not seal is recorded after it.
        Raises IdempotencyMismatch if the key came with another `digest`, IdempotencyConflict while the first
        request is still running. A write that fails leaves the key free.
        """
        claim = Claim(credential, key, uuid4())
        first = await self._claimed(scope, claim, digest)
        if first is not None:
            return _replayed(first, digest)
        sealed = False

        async def seal(tx: TenantTx, result: Result) -> None:
            nonlocal sealed
            await _write_down(tx, claim, answered(result))
            sealed = True

        async with self._held(scope, claim):
            result = await write(seal)
            if not sealed:
                async with self._database.tenant(scope) as tx:
                    await _write_down(tx, claim, answered(result))
        return Outcome(answered(result), replayed=False)

    async def forget_expired(self) -> None:
        """Delete every tenant's keys older than 24 hours, including tenants that no longer ask.

        The tenants come one after the other, with at most a hundred keys to a transaction: so this holds one
        connection, and never for long. Two servers that do it at once do not wait for each other.
        """
        after = ""
        while tenants := await self._tenants_after(after):
            for tenant in tenants:
                await self._forget_expired(Scope(tenant))
            after = tenants[-1]

    async def _tenants_after(self, tenant: str) -> list[str]:
        async with self._database.registry() as tx:
            return await registry.tenants_after(tx, tenant, _TENANTS_AT_ONCE)

    async def _forget_expired(self, scope: Scope) -> None:
        more = True
        while more:
            async with self._database.tenant(scope) as tx:
                more = await idempotency.expire(tx, self._clock() - KEPT)

    async def _claimed(self, scope: Scope, claim: Claim, digest: bytes) -> FirstAnswer | None:
        now = self._clock()
        async with self._database.tenant(scope) as tx:
            return await idempotency.claim(tx, claim, digest, now=now, expired=now - KEPT, abandoned=now - _ABANDONED)

    @asynccontextmanager
    async def _held(self, scope: Scope, claim: Claim) -> AsyncIterator[None]:
        """Keep the key while the block runs, and free it where the block fails."""
        heartbeat = asyncio.create_task(self._beat(scope, claim))
        try:
            yield
        except BaseException:
            # If this fails too, the key is free once it counts as abandoned.
            with suppress(OpenMemoryError):
                async with self._database.tenant(scope) as tx:
                    await idempotency.release(tx, claim)
            raise
        finally:
            heartbeat.cancel()
            await asyncio.wait({heartbeat})

    async def _beat(self, scope: Scope, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            try:
                async with self._database.tenant(scope) as tx:
                    await idempotency.prolong(tx, claim, self._clock())
            except Exception as error:  # what fails now may not the next time
                log.warning("idempotency.heartbeat_failed", tenant=scope.tenant, reason=type(error).__name__)


async def _write_down(tx: TenantTx, claim: Claim, answer: JsonValue) -> None:
    if not await idempotency.finish(tx, claim, status=_DONE, answer=answer):
        raise IdempotencyConflict("another request with this Idempotency-Key took over from this one; ask again")


def _replayed(first: FirstAnswer, digest: bytes) -> Outcome:
    if bytes(first.request_digest) != digest:
        raise IdempotencyMismatch("this Idempotency-Key came with another request before; use a new one")
    if first.status == 0:
        raise IdempotencyConflict("the first request with this Idempotency-Key is still running; ask again")
    return Outcome(first.answer, replayed=True)
