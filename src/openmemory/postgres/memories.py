"""Memories in and out of their table, one function a statement."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg import errors
from psycopg.types.json import Jsonb

from openmemory.core.changes import Difference
from openmemory.core.memory import JsonValue, Memory, NewMemory, Place
from openmemory.core.scope import Scope
from openmemory.errors import MemoryExists
from openmemory.postgres.adaptation import Doubles, Instants, SmallInts, Texts, Uuids
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.statements import Call, statement
from openmemory.postgres.vectors import search_columns


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An existing memory that says what a new one says; the new one was not kept."""

    id: UUID
    fingerprint: UUID
    primary_sector: str
    sectors: int


@dataclass(frozen=True, slots=True)
class SectorCount:
    """How many memories a sector has, and their average salience now."""

    sector: str
    count: int
    avg_salience: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What a tenant has in all."""

    memories: int
    users: int
    sessions: int
    projects: int
    earliest: datetime | None
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a memory cannot share with another of its tenant; an old one may have no fingerprint."""

    id: UUID
    fingerprint: UUID | None


@dataclass(frozen=True, slots=True)
class _Written:
    version: int


@dataclass(frozen=True, slots=True)
class _Speaker:
    speaker: str


_INSERT = statement("memories.insert", Duplicate)
_GET = statement("memories.get", Memory)
_GET_FOR_UPDATE = statement("memories.get_for_update", Memory)
_LISTING = statement("memories.listing", Memory)
_UPDATE = statement("memories.update", _Written)
_REINFORCE = statement("memories.reinforce", type(None))
_DELETE = statement("memories.delete", type(None))
_DELETE_OF_USER = statement("memories.delete_of_user", type(None))
_DELETE_FACTS_OF_USER = statement("memories.delete_facts_of_user", type(None))
_FORGET_USER = statement("memories.forget_user", type(None))
_TAKEN = statement("memories.taken", Taken)
_SPEAKERS = statement("memories.speakers", _Speaker)
_SECTOR_COUNTS = statement("memories.sector_counts", SectorCount)
_TOTALS = statement("memories.totals", Totals)


async def insert(
    database: Database, scope: Scope, new: Sequence[NewMemory], now: datetime, boost: float
) -> list[Duplicate]:
    """Keep `new` memories with their search rows, and return those that were known, in no particular order.

    Their fingerprints differ. One that was said before gains `boost` salience instead. Raises MemoryExists if an id is
    taken. All is one statement and one transaction. If an earlier run may have committed, what it inserted counts as
    new, and what it reinforced is not reinforced again, unless another request reinforced it in between.
    """
    with _ids_untaken():
        return await database.write_at_once(scope, insert_call(new, now, boost))


async def insert_within(tx: TenantTx, new: Sequence[NewMemory], now: datetime, boost: float) -> list[Duplicate]:
    """Do what `insert` does as a part of `tx`."""
    call = insert_call(new, now, boost)
    with _ids_untaken():
        return await tx.all(call.statement, **call.params)


def insert_call(new: Sequence[NewMemory], now: datetime, boost: float) -> Call[Duplicate]:
    """Return the statement of `insert` with its parameters."""
    return Call(_INSERT, {**_columns(new), "now": now, "boost": boost, "again": False})


async def get(tx: TenantTx, memory_id: UUID) -> Memory | None:
    """Return one memory, or None."""
    return await tx.one(_GET, id=memory_id)


async def get_for_update(tx: TenantTx, memory_id: UUID) -> Memory | None:
    """Return one memory, or None; nobody else changes it before the transaction ends."""
    return await tx.one(_GET_FOR_UPDATE, id=memory_id)


async def listing(
    tx: TenantTx,
    limit: int,
    offset: int = 0,
    before: Place | None = None,
    session_id: str | None = None,
    sectors: int | None = None,
) -> list[Memory]:
    """Return memories of the scope, the newest arrival first; `before` is the place of the last one seen."""
    return await tx.all(
        _LISTING,
        user=tx.scope.user,
        project=tx.scope.project,
        session_id=session_id,
        sectors=sectors,
        before=before.created_at if before else None,
        before_id=before.id if before else None,
        limit=limit,
        offset=offset,
    )


async def update(tx: TenantTx, changed: Memory, metadata: Difference, fingerprint: UUID | None, now: datetime) -> int:
    """Write content, sectors, tags and salience of `changed`, which `tx` has locked; return its new version.

    Of its metadata only the difference is written. `fingerprint` None: the text is the old.
    Raises MemoryExists if another memory of the same scope says the same.
    """
    try:
        (written,) = await tx.all(
            _UPDATE,
            id=changed.id,
            content=changed.content,
            primary_sector=changed.primary_sector,
            sectors=changed.sectors,
            decay_rate=changed.decay_rate,
            tags=changed.tags,
            gone=metadata.gone,
            other=Jsonb(metadata.other),
            salience=changed.salience,
            fingerprint=fingerprint,
            now=now,
        )
    except errors.UniqueViolation as error:
        raise MemoryExists.at("content", "another memory of the same user and session says the same already") from error
    return written.version


async def reinforce(tx: TenantTx, ids: Sequence[UUID], boost: float, now: datetime) -> int:
    """Add `boost` to the salience of memories, mark them seen, and return how many there were."""
    return await tx.run(_REINFORCE, ids=list(ids), boost=boost, now=now)


async def delete(tx: TenantTx, memory_id: UUID) -> int:
    """Delete a memory with its vectors and waypoints; return how many there were, 0 or 1."""
    return await tx.run(_DELETE, id=memory_id)


async def delete_of_user(tx: TenantTx, user: str, most: int) -> int:
    """Delete `most` memories of a user at most, and return how many that were."""
    return await tx.run(_DELETE_OF_USER, user=user, most=most)


async def forget_user(tx: TenantTx, user: str) -> None:
    """Delete a user's facts, and the user unless it has memories still."""
    await tx.run(_DELETE_FACTS_OF_USER, user=user)
    await tx.run(_FORGET_USER, user=user)


async def taken(tx: TenantTx, ids: Sequence[UUID], fingerprints: Sequence[UUID]) -> list[Taken]:
    """Return the memories that the tenant has already under one of `ids` or `fingerprints`."""
    return await tx.all(_TAKEN, ids=list(ids), fingerprints=list(fingerprints))


async def speakers(tx: TenantTx, most: int, *, of_nobody: bool = False) -> frozenset[str]:
    """Return who spoke in the latest `most` memories of the scope, or of no user in its tenant and project."""
    scope = tx.scope
    rows = await tx.all(_SPEAKERS, user=scope.user, project=scope.project, of_nobody=of_nobody, most=most)
    return frozenset(row.speaker for row in rows)


async def sector_counts(tx: TenantTx, now: datetime) -> list[SectorCount]:
    """Return the size of each sector that has a memory."""
    return await tx.all(_SECTOR_COUNTS, now=now)


async def totals(tx: TenantTx) -> Totals:
    """Return how much the tenant has in all."""
    found = await tx.one(_TOTALS)
    return found or Totals(0, 0, 0, 0, None, None)


@contextmanager
def _ids_untaken() -> Iterator[None]:
    try:
        yield
    except (errors.UniqueViolation, errors.NotNullViolation) as error:
        if isinstance(error, errors.NotNullViolation) and error.diag.column_name != "repetitions":
            raise
        raise MemoryExists("an id is taken by another memory of this tenant") from error


def _columns(new: Sequence[NewMemory]) -> dict[str, object]:
    return {
        "ids": Uuids(_raw([memory.id for memory in new])),
        "users": Texts([memory.user_id for memory in new]),
        "projects": Texts([memory.project_id for memory in new]),
        "sessions": Texts([memory.session_id for memory in new]),
        "speakers": Texts([memory.speaker for memory in new]),
        "contents": Texts([memory.content for memory in new]),
        "primary_sectors": Texts([memory.primary_sector for memory in new]),
        "sectors": SmallInts([memory.sectors for memory in new]),
        "tags": Texts([_json(list(memory.tags)) for memory in new]),
        "metadata": Texts([_json(memory.metadata) for memory in new]),
        "saliences": Doubles([memory.salience for memory in new]),
        "decay_rates": Doubles([memory.decay_rate for memory in new]),
        "created": Instants([memory.created_at for memory in new]),
        "occurred": Instants([memory.occurred_at for memory in new]),
        "fingerprints": Uuids(_raw([memory.fingerprint for memory in new])),
        **search_columns(new),
    }


def _raw(ids: Sequence[UUID]) -> npt.NDArray[np.void]:
    return np.frombuffer(b"".join([one.bytes for one in ids]), "V16")


def _json(value: JsonValue) -> str:
    return json.dumps(value) if value else ("{}" if isinstance(value, dict) else "[]")
