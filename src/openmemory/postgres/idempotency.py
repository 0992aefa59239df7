"""The first answers to writes that came with an Idempotency-Key."""

from dataclasses import dataclass
from datetime import datetime

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


_CLAIM = statement("idempotency.claim", FirstAnswer)
_FIRST = statement("idempotency.first", FirstAnswer)
_FINISH = statement("idempotency.finish", type(None))
_RELEASE = statement("idempotency.release", type(None))
_EXPIRE = statement("idempotency.expire", type(None))


async def claim(
    tx: TenantTx,
    credential: str,
    key: str,
    digest: bytes,
    *,
    now: datetime,
    expired: datetime,
    abandoned: datetime,
) -> FirstAnswer | None:
    """Take `key` for a request; return None if it was free, else what is known of the request that has it."""
    await tx.run(_EXPIRE, expired=expired)
    params = {"credential": credential, "key": key}
    claimed = await tx.one(_CLAIM, **params, digest=digest, now=now, expired=expired, abandoned=abandoned)
    if claimed is not None:
        return None
    return await tx.one(_FIRST, **params)


async def finish(
    tx: TenantTx, credential: str, key: str, claimed_at: datetime, *, status: int, answer: JsonValue
) -> bool:
    """Write down the answer to the request that took `key` at `claimed_at`, unless another has it since."""
    params = {"credential": credential, "key": key, "claimed_at": claimed_at}
    return await tx.run(_FINISH, **params, status=status, answer=Jsonb(answer)) > 0


async def release(tx: TenantTx, credential: str, key: str, claimed_at: datetime) -> None:
    """Free a key whose request failed; what was finished, or taken over since, stays."""
    await tx.run(_RELEASE, credential=credential, key=key, claimed_at=claimed_at)
