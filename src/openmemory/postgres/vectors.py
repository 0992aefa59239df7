"""The rows that search reads: embeddings with their sign bits, and term frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pgvector import SparseVector
from psycopg.types.json import Jsonb

from openmemory.core.memory import Embedding, Filters, NewMemory
from openmemory.core.ranking import TERMS_PER_COLUMN, Candidates, estimate
from openmemory.core.text import speaker_key
from openmemory.postgres.adaptation import TERM_SPACE, sparse
from openmemory.postgres.database import TenantTx
from openmemory.postgres.statements import statement

_RECORD = np.dtype(
    [
        ("fields", ">i8"),
        ("more_terms", ">i8"),
        ("occurred_at", ">i8"),
        ("id", "V16"),
        ("session", ">i8"),
        ("speaker", ">i4"),
    ]
)
_EPOCH_2000_S = 946_684_800
_MAX_LENGTH = (1 << 14) - 1


@dataclass(frozen=True, slots=True)
class _Records:
    records: bytes | None


@dataclass(frozen=True, slots=True)
class _Terms:
    terms: bytes


_INSERT = statement("vectors.insert", type(None))
_DELETE = statement("vectors.delete", type(None))
_SCAN = statement("vectors.scan", _Records)
_TERM_SAMPLE = statement("vectors.term_sample", _Terms)


@dataclass(frozen=True, slots=True)
class Visible:
    """Every row that a scope may see, in conversation order; `passes` says which the filters leave."""

    ids: npt.NDArray[np.void]
    passes: npt.NDArray[np.bool_]
    candidates: Candidates

    def ids_at(self, rows: npt.NDArray[np.intp]) -> list[UUID]:
        """Return the memory ids of `rows`, in order."""
        return [UUID(bytes=value.tobytes()) for value in self.ids[rows]]


async def insert(tx: TenantTx, new: Sequence[NewMemory]) -> None:
    """Add the search rows of memories that were just kept."""
    await tx.run(
        _INSERT,
        ids=[memory.id for memory in new],
        speaker_keys=[speaker_key(memory.speaker) if memory.speaker else 0 for memory in new],
        marks=[memory.marks for memory in new],
        lengths=[min(memory.terms.length, _MAX_LENGTH) for memory in new],
        terms=[sparse(memory.terms) for memory in new],
        embeddings=[memory.embedding for memory in new],
    )


async def delete(tx: TenantTx, memory_id: UUID) -> int:
    """Delete a memory's search rows; return how many there were."""
    return await tx.run(_DELETE, id=memory_id)


async def scan(tx: TenantTx, terms: Sequence[int], embedding: Embedding | None, filters: Filters) -> Visible:
    """Return every row of the scope, with what the ranking needs to know of it.

    `terms` are the question's term keys, at most 16.
    """
    row = await tx.one(_SCAN, **_scan_params(tx, terms, embedding, filters))
    records = np.frombuffer((row.records if row else None) or b"", dtype=_RECORD)
    dimension = tx.names.dimension if embedding is not None else None
    return _visible(_once_each(records), len(terms), dimension)


async def explain_scan(
    tx: TenantTx, terms: Sequence[int], embedding: Embedding | None, filters: Filters
) -> tuple[str, ...]:
    """Return PostgreSQL's plan of `scan`."""
    return await tx.explain(_SCAN, **_scan_params(tx, terms, embedding, filters))


async def term_sample(tx: TenantTx, most: int) -> list[npt.NDArray[np.int32]]:
    """Return the term keys of up to `most` memories of the scope."""
    rows = await tx.all(_TERM_SAMPLE, user=tx.scope.user, project=tx.scope.project, most=most)
    return [_keys(row.terms) for row in rows]


def _scan_params(
    tx: TenantTx, terms: Sequence[int], embedding: Embedding | None, filters: Filters
) -> dict[str, object]:
    return {
        "user": tx.scope.user,
        "project": tx.scope.project,
        "shared": filters.include_shared,
        "terms": _digits(terms[:TERMS_PER_COLUMN]),
        "more_terms": _digits(terms[TERMS_PER_COLUMN:]),
        "embedding": embedding,
        "session_id": filters.session_id,
        "sectors": filters.sectors,
        "since": filters.since,
        "until": filters.until,
        "any_memory": not filters.need_memories,
        "tags": list(filters.tags),
        "tags_any": list(filters.tags_any) or None,
        "metadata": Jsonb(filters.metadata) if filters.metadata else None,
    }


def _digits(keys: Sequence[int]) -> SparseVector | None:
    """Return the question's terms weighted 1, 8, 64, …: an inner product then holds every frequency as a digit.

    Exact for eight terms, since 8^8 = 2^24 is what a float4 can count to.
    """
    return SparseVector({key: 8**place for place, key in enumerate(keys)}, TERM_SPACE) if keys else None


def _once_each(records: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Leave the first of neighbouring records of one memory: an old database has one for each of its sectors."""
    ids = records["id"]
    repeated = ids[1:] == ids[:-1]
    return records[np.concatenate(([True], ~repeated))] if repeated.any() else records


def _visible(records: npt.NDArray[np.void], terms: int, dimension: int | None) -> Visible:
    fields = records["fields"].astype(np.int64)
    packed = (fields & 0xFFFFFF, records["more_terms"].astype(np.int64))
    similarities = None
    if dimension is not None:
        similarities = estimate((fields >> 24) & 0x3FFF, dimension)
    return Visible(
        ids=records["id"],
        passes=(fields >> 56) & 1 == 1,
        candidates=Candidates(
            packed=packed[: -(-terms // TERMS_PER_COLUMN)],
            lengths=(fields >> 38) & 0x3FFF,
            sessions=records["session"].astype(np.int64),
            similarities=similarities,
            speakers=records["speaker"].astype(np.int32),
            marks=((fields >> 52) & 0xF).astype(np.uint8),
            occurred_at_s=records["occurred_at"].astype(np.int64) // 1_000_000 + _EPOCH_2000_S,
        ),
    )


def _keys(binary: bytes) -> npt.NDArray[np.int32]:
    """Return the indices of a sparsevec as sent: int4 dimensions, int4 count, int4 unused, the indices, the values."""
    count = int.from_bytes(binary[4:8], "big")
    return np.frombuffer(binary, ">i4", count, 12).astype(np.int32)
