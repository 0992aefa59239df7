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


async def finish(tx: TenantTx, credential: str, key: str, status: int, answer: JsonValue) -> None:
    """Write down the answer to the request that has `key`."""
    await tx.run(_FINISH, credential=credential, key=key, status=status, answer=Jsonb(answer))


async def release(tx: TenantTx, credential: str, key: str) -> None:
    """Free a key whose request failed."""
    await tx.run(_RELEASE, credential=credential, key=key)
