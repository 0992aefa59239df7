"""The first answers to writes that came with an Idempotency-Key."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from openmemory.core.memory import JsonValue
from openmemory.postgres.database import TenantTx
from openmemory.postgres.statements import statement


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What is known of a key: `status` 0 is a request still running."""

    status: int
    request_digest: bytes
    answer: JsonValue


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that a credential sent, and which of the requests with it this is."""

    credential: str
    key: str
    token: UUID


_EXPIRED_AT_ONCE = 100

_CLAIM = statement("idempotency.claim", FirstAnswer)
_FIRST = statement("idempotency.first", FirstAnswer)
_PROLONG = statement("idempotency.prolong", type(None))
_FINISH = statement("idempotency.finish", type(None))
_RELEASE = statement("idempotency.release", type(None))
_EXPIRE = statement("idempotency.expire", type(None))


async def claim(
    tx: TenantTx, request: Claim, digest: bytes, *, now: datetime, expired: datetime, abandoned: datetime
) -> FirstAnswer | None:
    """Take the key for `request`; return None if it was free, else what is known of the request that has it.

    Some of the keys that are `expired` go, a hundred at most.
    """
    await expire(tx, expired)
    claimed = await tx.one(_CLAIM, **_named(request), digest=digest, now=now, expired=expired, abandoned=abandoned)
    if claimed is not None:
        return None
    return await tx.one(_FIRST, credential=request.credential, key=request.key)


async def expire(tx: TenantTx, expired: datetime) -> bool:
    """Delete a hundred keys at most that were made before `expired`; return whether there may be more."""
    return await tx.run(_EXPIRE, expired=expired, most=_EXPIRED_AT_ONCE) == _EXPIRED_AT_ONCE


async def prolong(tx: TenantTx, request: Claim, now: datetime) -> None:
    """Say that `request` is still running."""
    await tx.run(_PROLONG, **_named(request), now=now)


async def finish(tx: TenantTx, request: Claim, *, status: int, answer: JsonValue) -> bool:
    """Write down the answer to `request`; return False where another has taken the key over since."""
    return await tx.run(_FINISH, **_named(request), status=status, answer=Jsonb(answer)) > 0


async def release(tx: TenantTx, request: Claim) -> None:
    """Free the key of a request that failed; what was finished, or taken over since, stays."""
    await tx.run(_RELEASE, **_named(request))


def _named(request: Claim) -> dict[str, object]:
    return {"credential": request.credential, "key": request.key, "token": Jsonb(str(request.token))}
