"""The same write sent twice is done once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from openmemory.core.memory import JsonValue
from openmemory.core.scope import Scope
from openmemory.errors import IdempotencyConflict, IdempotencyMismatch
from openmemory.postgres import idempotency
from openmemory.postgres.database import Database, TenantTx
from openmemory.service.clock import Clock

Result = TypeVar("Result")
# What a write calls at the end of its transaction, with its result.
Seal = Callable[[TenantTx, Result], Awaitable[None]]

KEPT = timedelta(hours=24)
# A request that runs longer than this may have been left by a process that died: the next one takes its key over. If
# it still runs, its own transaction finds the key gone and undoes itself, so this may be short.
_ABANDONED = timedelta(seconds=20)
_DONE = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and whether it is the first one given again."""

    answer: JsonValue
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Claim:
    """A key that one request has, and since when."""

    credential: str
    key: str
    at: datetime


class Idempotency:
    """Runs a write once for each key of a tenant's credential."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(
        self,
        scope: Scope,
        credential: str,
        key: str,
        digest: bytes,
        write: Callable[[Seal[Result]], Awaitable[Result]],
        answered: Callable[[Result], JsonValue],
    ) -> Outcome:
        """Run `write` unless it ran before with this key, and return its result as `answered`.

        The seal that `write` is given writes the answer down in the write's own transaction: both are there, or
        neither, whenever the process dies. What `write` does not seal is written down after it.
        Raises IdempotencyMismatch if the key came with another `digest`, IdempotencyConflict while the first
        request is still running. A write that fails leaves the key free.
        """
        claim = _Claim(credential, key, self._clock())
        first = await self._claimed(scope, claim, digest)
        if first is not None:
            return _replayed(first, digest)
        sealed = False

        async def seal(tx: TenantTx, result: Result) -> None:
            nonlocal sealed
            await _write_down(tx, claim, answered(result))
            sealed = True

        try:
            result = await write(seal)
            if not sealed:
                async with self._database.tenant(scope) as tx:
                    await _write_down(tx, claim, answered(result))
        except BaseException:
            async with self._database.tenant(scope) as tx:
                await idempotency.release(tx, claim.credential, claim.key, claim.at)
            raise
        return Outcome(answered(result), replayed=False)

    async def _claimed(self, scope: Scope, claim: _Claim, digest: bytes) -> idempotency.FirstAnswer | None:
        async with self._database.tenant(scope) as tx:
            return await idempotency.claim(
                tx,
                claim.credential,
                claim.key,
                digest,
                now=claim.at,
                expired=claim.at - KEPT,
                abandoned=claim.at - _ABANDONED,
            )


async def _write_down(tx: TenantTx, claim: _Claim, answer: JsonValue) -> None:
    if not await idempotency.finish(tx, claim.credential, claim.key, claim.at, status=_DONE, answer=answer):
        raise IdempotencyConflict("another request with this Idempotency-Key took over from this one; ask again")


def _replayed(first: idempotency.FirstAnswer, digest: bytes) -> Outcome:
    if bytes(first.request_digest) != digest:
        raise IdempotencyMismatch("this Idempotency-Key came with another request before; use a new one")
    if first.status == 0:
        raise IdempotencyConflict("the first request with this Idempotency-Key is still running; ask again")
    return Outcome(first.answer, replayed=True)
