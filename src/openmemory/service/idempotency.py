"""The same write sent twice is done once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from openmemory.core.memory import JsonValue
from openmemory.core.scope import Scope
from openmemory.errors import IdempotencyConflict, IdempotencyMismatch
from openmemory.postgres import idempotency
from openmemory.postgres.database import Database
from openmemory.service.clock import Clock

KEPT = timedelta(hours=24)
# A request that runs longer than this was left by a process that died.
_ABANDONED = timedelta(minutes=2)
_DONE = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and whether it is the first one given again."""

    answer: JsonValue
    replayed: bool


class Idempotency:
    """Runs a write once for each key of a tenant's credential."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def once(
        self, scope: Scope, credential: str, key: str, digest: bytes, write: Callable[[], Awaitable[JsonValue]]
    ) -> Outcome:
        """Run `write` unless it ran before with this key, and return its answer.

        Raises IdempotencyMismatch if the key came with another `digest`, IdempotencyConflict while the first
        request is still running. A write that fails leaves the key free.
        """
        now = self._clock()
        async with self._database.tenant(scope) as tx:
            first = await idempotency.claim(
                tx, credential, key, digest, now=now, expired=now - KEPT, abandoned=now - _ABANDONED
            )
        if first is not None:
            return _replayed(first, digest)
        done = False
        try:
            answer = await write()
            done = True
        finally:
            async with self._database.tenant(scope) as tx:
                if done:
                    await idempotency.finish(tx, credential, key, _DONE, answer)
                else:
                    await idempotency.release(tx, credential, key)
        return Outcome(answer, replayed=False)


def _replayed(first: idempotency.FirstAnswer, digest: bytes) -> Outcome:
    if bytes(first.request_digest) != digest:
        raise IdempotencyMismatch("this Idempotency-Key came with another request before; use a new one")
    if first.status == 0:
        raise IdempotencyConflict("the first request with this Idempotency-Key is still running; ask again")
    return Outcome(first.answer, replayed=True)
