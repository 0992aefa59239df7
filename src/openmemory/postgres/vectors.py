"""The rows that search reads: embeddings with their sign bits, and term frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg.types.json import Jsonb

from openmemory.core.candidates import Integers
from openmemory.core.corpus import Columns
from openmemory.core.memory import Filters, NewMemory
from openmemory.core.scope import Scope
from openmemory.core.text import TermVector, session_key, speaker_key
from openmemory.postgres import search_rows
from openmemory.postgres.adaptation import BigInts, Ints, TermLists, Vectors
from openmemory.postgres.database import TenantTx
from openmemory.postgres.search_rows import SentRows
from openmemory.postgres.statements import Call, Names, Statement, statement

Row = TypeVar("Row")

_INDEX_ROW_BYTES = 2704
_INDEX_KEY_BYTES = 700  # four names of up to 128 bytes, id, instants and headers
_TERM_BYTES = 8
_TERMS_AT_MOST = 250
_ROWS_IN_A_STRING = 250_000
_WRITINGS = 16_384  # that bits 48 to 61 of a row's number can tell apart


@dataclass(frozen=True, slots=True)
class Version:
    """Which rows there are: how many, a digest of their numbers, and the table they are in."""

    rows: int
    digest: Decimal
    of_table: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as PostgreSQL sent them; `len` says how many."""

    sent: Sequence[SentRows]
    dimension: int

    def __len__(self) -> int:
        return sum(search_rows.count(part) for part in self.sent)

    @property
    def digest(self) -> Decimal:
        """The digest of their numbers, which counts for each row alike: those of two parts add up."""
        return sum((part.digest for part in self.sent), Decimal(0))

    def decoded(self) -> Columns:
        """Return their columns; of many rows this takes time.

        Raises DatabaseUnavailable if the vectors have another dimension than this process began with.
        """
        return search_rows.decoded(self.sent, self.dimension)


@dataclass(frozen=True, slots=True)
class _Written:
    writing: int


@dataclass(frozen=True, slots=True)
class Passing:
    """The numbers of the rows that filters leave, as one string."""

    seqs: bytes | None


@dataclass(frozen=True, slots=True)
class _Terms:
    terms: bytes


_INSERT = statement("vectors.insert", type(None))
_RESECTOR = statement("vectors.resector", type(None))
_DELETE = statement("vectors.delete", _Written)
_VERSION = statement("vectors.version", Version)
_COLUMNS = statement("vectors.columns", SentRows)
_PASSING = statement("vectors.passing", Passing)
_TERM_SAMPLE = statement("vectors.term_sample", _Terms)


async def replace(tx: TenantTx, memory: NewMemory) -> None:
    """Write the search row of a memory anew, in place of those that it has, under a number of its own."""
    before = await tx.all(_DELETE, id=memory.id)
    # 16,384 writings later a number comes again, to no process that has looked in between.
    writing = (max((row.writing for row in before), default=-1) + 1) % _WRITINGS
    await tx.run(_INSERT, ids=[memory.id], writing=writing, **search_columns([memory]))


def search_columns(memories: Sequence[NewMemory]) -> dict[str, object]:
    """Return what only search rows have of `memories`, as a statement's parameters."""
    return {
        "session_keys": BigInts([session_key(memory.user_id, memory.session_id) for memory in memories]),
        "speaker_keys": Ints([speaker_key(memory.speaker) if memory.speaker else 0 for memory in memories]),
        "traits": Ints([traits(memory.terms, memory.marks) for memory in memories]),
        "terms": TermLists([memory.terms for memory in memories]),
        "embeddings": Vectors([memory.embedding for memory in memories]),
    }


def traits(terms: TermVector, marks: int) -> int:
    """Return the `traits` column of a text: its count of terms in the low 13 bits, its marks above."""
    return marks << search_rows.LENGTH_BITS | min(terms.length, search_rows.LENGTHS)


def term_cap(dimension: int) -> int:
    """Return how many distinct terms a search row may have.

    An index row must fit a third of a page, with the code of one bit a dimension beside the terms.
    """
    return min(_TERMS_AT_MOST, (_INDEX_ROW_BYTES - _INDEX_KEY_BYTES - dimension // 8) // _TERM_BYTES)


async def resector(tx: TenantTx, memory_id: UUID, former: str) -> int:
    """Give a memory's search rows the sectors that it has now; `former` was its primary one. Return how many."""
    return await tx.run(_RESECTOR, id=memory_id, former=former)


async def version(tx: TenantTx, *, shared: bool = False) -> Version:
    """Return the version of the rows that the scope may see; `shared` adds to a user's rows those of no user."""
    call = version_call(tx.scope, tx.names, shared=shared)
    return await tx.one(call.statement, **call.params) or Version(0, Decimal(0), 0)


def version_call(scope: Scope, names: Names, *, shared: bool = False) -> Call[Version]:
    """Return the statement of `version` with its parameters."""
    return Call(_of_scope(_VERSION, scope, shared=shared), _scope_params(scope, names))


async def rows(tx: TenantTx, *, shared: bool = False, after: int | None = None) -> Rows:
    """Return the rows that the scope may see, or those that came `after` a place.

    A memory that was changed is not among those that came after.
    """
    sent = await tx.all(_of_scope(_COLUMNS, tx.scope, shared=shared), **_columns_params(tx, after))
    return Rows(sent, tx.names.dimension)


async def passing(tx: TenantTx, filters: Filters) -> Integers:
    """Return the places of the rows that the filters leave."""
    call = passing_call(tx.scope, tx.names, filters)
    found = await tx.one(call.statement, **call.params)
    return search_rows.places(found.seqs or b"" if found else b"")


def passing_call(scope: Scope, names: Names, filters: Filters) -> Call[Passing]:
    """Return the statement of `passing` with its parameters."""
    params = {
        **_scope_params(scope, names),
        "session_id": filters.session_id,
        "sectors": filters.sectors,
        "since": filters.since,
        "until": filters.until,
        "by_memory": filters.need_memories,
        "tags": list(filters.tags),
        "tags_any": list(filters.tags_any) or None,
        "metadata": Jsonb(filters.metadata) if filters.metadata else None,
    }
    return Call(_of_scope(_PASSING, scope, shared=filters.include_shared), params)


async def explain_rows(tx: TenantTx, *, shared: bool = False) -> tuple[str, ...]:
    """Return PostgreSQL's plan of `rows`."""
    return await tx.explain(_of_scope(_COLUMNS, tx.scope, shared=shared), **_columns_params(tx, None))


async def term_sample(tx: TenantTx, most: int, *, of_nobody: bool = False) -> list[npt.NDArray[np.int32]]:
    """Return the term keys of the scope's memories or, where there are more, of about `most` from everywhere.

    Those that are `of_nobody` are the memories of no user in the scope's tenant and project instead.
    """
    scope = tx.scope
    rows = await tx.all(_TERM_SAMPLE, user=scope.user, project=scope.project, of_nobody=of_nobody, most=most)
    return [search_rows.keys(row.terms) for row in rows]


def _of_scope(statement: Statement[Row], scope: Scope, *, shared: bool) -> Statement[Row]:
    """Return the statement for the kind of scope that asks.

    One text for every kind would have conditions that only a plan for given parameters can drop.
    """
    return _narrowed(statement, scope.user is not None, shared, scope.project is not None)


@cache
def _narrowed(statement: Statement[Row], user: bool, shared: bool, project: bool) -> Statement[Row]:
    of_user = "(user_id = %(user)s OR user_id IS NULL)" if shared else "user_id = %(user)s"
    conditions = [*([of_user] if user else []), *(["project_id = %(project)s"] if project else [])]
    return statement.filled_in(of_scope=" AND ".join(conditions) or "true")


def _scope_params(scope: Scope, names: Names) -> dict[str, object]:
    return {"user": scope.user, "project": scope.project, "table": names.table(names.vectors)}


def _columns_params(tx: TenantTx, after: int | None) -> dict[str, object]:
    return {
        **_scope_params(tx.scope, tx.names),
        "after": after,
        "first_writings": search_rows.PLACES,
        "rows_at_most": _ROWS_IN_A_STRING,
    }
