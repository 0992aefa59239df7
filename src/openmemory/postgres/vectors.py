"""The rows that search reads: embeddings with their sign bits, and term frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pgvector import SparseVector
from psycopg.types.json import Jsonb

from openmemory.core.candidates import TERMS_PER_COLUMN, Candidates
from openmemory.core.memory import Embedding, Filters, NewMemory
from openmemory.core.ranking import estimate
from openmemory.core.text import TermVector, session_key, speaker_key
from openmemory.postgres.adaptation import TERM_SPACE, TermLists, Vectors
from openmemory.postgres.database import TenantTx
from openmemory.postgres.statements import statement

Entry = TypeVar("Entry", bound=np.generic)

_INDEX_ROW_BYTES = 2704
_INDEX_KEY_BYTES = 700  # four names of up to 128 bytes, id, instants and headers
_TERM_BYTES = 8
_TERMS_AT_MOST = 250
_EPOCH_2000_S = 946_684_800


_NUMBER = np.dtype(">f8")
_LOCATOR = np.dtype([("id", "V16"), ("session", ">i8")])
_TERM_BITS, _HAMMING_BITS, _LENGTH_BITS = 24, 14, 13
_LENGTHS = (1 << _LENGTH_BITS) - 1


@dataclass(frozen=True, slots=True)
class _Scanned:
    numbers: bytes | None
    locators: bytes | None
    more_terms: bytes | None
    passing: bytes | None
    speaking: bytes | None
    occurred_at: bytes | None


@dataclass(frozen=True, slots=True)
class _Terms:
    terms: bytes


_INSERT = statement("vectors.insert", type(None))
_DELETE = statement("vectors.delete", type(None))
_SCAN = statement("vectors.scan", _Scanned)
_TERM_SAMPLE = statement("vectors.term_sample", _Terms)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question looks for: term keys (at most 16), a direction, a speaker's key; whether instants matter."""

    terms: Sequence[int] = ()
    embedding: Embedding | None = None
    speaker: int | None = None
    dated: bool = False


@dataclass(frozen=True, slots=True)
class Visible:
    """Every row that a scope may see, in conversation order; `passes` says which the filters leave."""

    ids: npt.NDArray[np.void]
    passes: npt.NDArray[np.bool_]
    candidates: Candidates


async def insert(tx: TenantTx, memory: NewMemory) -> None:
    """Add the search row of a memory that is kept already, as after a change of its content."""
    await tx.run(_INSERT, ids=[memory.id], **search_columns([memory]))


def search_columns(memories: Sequence[NewMemory]) -> dict[str, object]:
    """Return what only search rows have of `memories`, as a statement's parameters."""
    return {
        "session_keys": [session_key(memory.user_id, memory.session_id) for memory in memories],
        "speaker_keys": [speaker_key(memory.speaker) if memory.speaker else 0 for memory in memories],
        "traits": [traits(memory.terms, memory.marks) for memory in memories],
        "terms": TermLists([memory.terms for memory in memories]),
        "embeddings": Vectors([memory.embedding for memory in memories]),
    }


def traits(terms: TermVector, marks: int) -> int:
    """Return what a text is like as it is stored: the count of its terms below, its marks above."""
    return marks << _LENGTH_BITS | min(terms.length, _LENGTHS)


def term_cap(dimension: int) -> int:
    """Return how many distinct terms a search row may have.

    An index row must fit a third of a page, with the code of one bit a dimension beside the terms.
    """
    return min(_TERMS_AT_MOST, (_INDEX_ROW_BYTES - _INDEX_KEY_BYTES - dimension // 8) // _TERM_BYTES)


async def delete(tx: TenantTx, memory_id: UUID) -> int:
    """Delete a memory's search rows; return how many there were."""
    return await tx.run(_DELETE, id=memory_id)


async def scan(tx: TenantTx, wanted: Wanted, filters: Filters) -> Visible:
    """Return every row of the scope, with what the ranking needs to know of it."""
    scanned = await tx.one(_SCAN, **_scan_params(tx, wanted, filters))
    return _once_each(_visible(scanned or _Scanned(None, None, None, None, None, None), wanted, tx.names.dimension))


async def explain_scan(tx: TenantTx, wanted: Wanted, filters: Filters) -> tuple[str, ...]:
    """Return PostgreSQL's plan of `scan`."""
    return await tx.explain(_SCAN, **_scan_params(tx, wanted, filters))


async def term_sample(tx: TenantTx, most: int) -> list[npt.NDArray[np.int32]]:
    """Return the term keys of up to `most` memories of the scope."""
    rows = await tx.all(_TERM_SAMPLE, user=tx.scope.user, project=tx.scope.project, most=most)
    return [_keys(row.terms) for row in rows]


def _scan_params(tx: TenantTx, wanted: Wanted, filters: Filters) -> dict[str, object]:
    return {
        "user": tx.scope.user,
        "project": tx.scope.project,
        "shared": filters.include_shared,
        "terms": _digits(wanted.terms[:TERMS_PER_COLUMN]),
        "more_terms": _digits(wanted.terms[TERMS_PER_COLUMN:]),
        "embedding": wanted.embedding,
        "speaker": wanted.speaker,
        "dated": wanted.dated,
        "session_id": filters.session_id,
        "sectors": filters.sectors,
        "since": filters.since,
        "until": filters.until,
        "filtered": filters.narrow,
        "by_memory": filters.need_memories,
        "tags": list(filters.tags),
        "tags_any": list(filters.tags_any) or None,
        "metadata": Jsonb(filters.metadata) if filters.metadata else None,
    }


def _digits(keys: Sequence[int]) -> SparseVector | None:
    """Return the question's terms weighted 1, 8, 64, …: an inner product then holds every frequency as a digit.

    Exact for eight terms, since 8^8 = 2^24 is what a float4 can count to.
    """
    return SparseVector({key: 8**place for place, key in enumerate(keys)}, TERM_SPACE) if keys else None


def _visible(scanned: _Scanned, wanted: Wanted, dimension: int) -> Visible:
    numbers = np.frombuffer(scanned.numbers or b"", _NUMBER).astype(np.int64)
    rows = np.frombuffer(scanned.locators or b"", _LOCATOR)
    hamming = (numbers >> _TERM_BITS) & ((1 << _HAMMING_BITS) - 1)
    traits = numbers >> (_TERM_BITS + _HAMMING_BITS)
    terms = [numbers & ((1 << _TERM_BITS) - 1)] if wanted.terms else []
    if scanned.more_terms is not None:
        terms.append(np.frombuffer(scanned.more_terms, ">f8").astype(np.int64))
    speaking = _column(scanned.speaking, np.dtype(np.bool_), len(rows))
    return Visible(
        ids=rows["id"],
        passes=_column(scanned.passing, np.dtype(np.bool_), len(rows), otherwise=True),
        candidates=Candidates(
            packed=tuple(terms),
            lengths=traits & _LENGTHS,
            sessions=rows["session"].astype(np.int64),
            similarities=None if wanted.embedding is None else estimate(hamming, dimension),
            speakers=(speaking * (wanted.speaker or 0)).astype(np.int32),
            marks=(traits >> _LENGTH_BITS).astype(np.uint8),
            occurred_at_s=_seconds(_column(scanned.occurred_at, np.dtype(">i8"), len(rows))),
        ),
    )


def _column(column: bytes | None, kind: np.dtype[Entry], rows: int, *, otherwise: bool = False) -> npt.NDArray[Entry]:
    """Return a column that a question may do without: then `otherwise` for each row."""
    return np.full(rows, otherwise, kind) if column is None else np.frombuffer(column, kind)


def _seconds(since_2000_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return since_2000_us.astype(np.int64) // 1_000_000 + _EPOCH_2000_S


def _once_each(visible: Visible) -> Visible:
    """Leave the first of neighbouring rows of one memory: an old database has one for each of its sectors."""
    repeated = visible.ids[1:] == visible.ids[:-1]
    if not repeated.any():
        return visible
    kept = np.concatenate(([True], ~repeated))
    return Visible(visible.ids[kept], visible.passes[kept], visible.candidates.only(kept))


def _keys(binary: bytes) -> npt.NDArray[np.int32]:
    """Return the indices of a sparsevec as sent: int4 dimensions, int4 count, int4 unused, the indices, the values."""
    count = int.from_bytes(binary[4:8], "big")
    return np.frombuffer(binary, ">i4", count, 12).astype(np.int32)
