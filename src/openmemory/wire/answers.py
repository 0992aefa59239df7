"""What the server answers."""

from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from openmemory.core.records import record


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


# Answers of many memories are dataclasses: a Pydantic model costs ten times as much to make.


@record
class AddAnswer:
    """What became of a memory; `deduplicated`: it was known already, under this id."""

    id: UUID
    primary_sector: str
    sectors: tuple[str, ...]
    chunks: int = 1
    deduplicated: bool = field(kw_only=True)


class FieldProblem(_Answer):
    """A field and what is wrong with it."""

    field: str
    message: str


class ItemError(_Answer):
    """Why one item of a partial batch was not kept."""

    error: str
    title: str
    type: str
    status: int
    code: str
    errors: list[FieldProblem] | None = None


@dataclass(frozen=True, slots=True)
class AddBatchAnswer:
    """What became of each item, in order."""

    results: list[AddAnswer | ItemError]


@record
class MemoryAnswer:
    """A memory; times are milliseconds since 1970, `occurred_at` is ISO 8601."""

    id: UUID
    content: str
    primary_sector: str
    sectors: tuple[str, ...]
    tags: list[str]
    metadata: dict[str, JsonValue]
    user_id: str | None
    project_id: str | None
    session_id: str | None
    speaker: str | None
    occurred_at: str
    created_at: int
    updated_at: int
    last_seen_at: int
    salience: float
    decay_lambda: Annotated[float, Field(description="The decay rate a day: salience * exp(-decay_lambda * days).")]
    version: int


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """The parts of a relevance, which is their sum; the score is 1 - exp(-relevance / 0.3)."""

    lexical: float
    dense: float
    context_dense: float
    boosts: dict[str, float]
    relevance: float


@record
class MatchAnswer(MemoryAnswer):
    """A memory that answers a question."""

    score: float
    path: list[UUID]
    explain: ScoreParts | None = None


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """How an answer came about."""

    path: str
    visible: int
    reranked: int
    plan: list[str]


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The matches, best first."""

    query: str | None
    matches: list[MatchAnswer]
    explain: TraceAnswer | None = None


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Memories, the newest first; `next_cursor` goes into `cursor` for the page after."""

    items: list[MemoryAnswer]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class UserPageAnswer(PageAnswer):
    """A user's memories, the newest first."""

    user_id: str


class PatchAnswer(_Answer):
    """The memory is now as the change asks; `updated` is false if it asked for nothing."""

    id: UUID
    updated: bool
    version: int


class OkAnswer(_Answer):
    """It is done."""

    ok: Literal[True] = True


class DeletedAnswer(OkAnswer):
    """A user's memories are gone."""

    deleted: int


class SectorStats(_Answer):
    """What a sector holds."""

    sector: str
    count: int
    avg_salience: float


class SectorRule(_Answer):
    """One rule that speaks for a sector: any of these words, or a regular expression."""

    words: list[str] | None = None
    phrases: str | None = None


class SectorConfig(_Answer):
    """How a sector behaves."""

    model: str
    decay_lambda: float
    weight: float
    patterns: list[SectorRule]


class SectorsAnswer(_Answer):
    """The sectors there are, and what the tenant has in each."""

    sectors: list[str]
    configs: dict[str, SectorConfig]
    stats: list[SectorStats]


class EmbeddingHealth(_Answer):
    """What turns text into vectors."""

    provider: str
    model: str
    dimensions: int
    configured: bool = True
    type: str
    mode: str = "simple"
    fallback_chain: list[str]
    batch_support: bool = True
    advanced_parallel: bool = False
    embed_delay_ms: int = 0


class Expected(_Answer):
    """Upstream's promises of a tier, for clients that read them."""

    recall: int
    qps: str
    ram: str
    use: str


class HealthAnswer(_Answer):
    """The process is alive; the database is not asked."""

    ok: Literal[True] = True
    version: str
    embedding: EmbeddingHealth
    tier: str
    dim: int
    cache: int
    expected: Expected


class ReadyAnswer(OkAnswer):
    """The database answers."""


class Problem(_Answer):
    """An error by RFC 9457, with upstream's `err` and `error` beside it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    err: str
    error: str
    errors: list[FieldProblem] | None = None
