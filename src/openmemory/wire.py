"""The public contract: what requests and answers look like. Names and shapes are upstream's where it has them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StrictBool

from openmemory.core.memory import CONTENT_MAX_CHARS
from openmemory.core.scope import name_problem
from openmemory.core.sectors import Sector
from openmemory.core.text import text_problem

BATCH_MOST = 1_000
MATCHES_MOST = 1_000
EMBEDDING_MOST = 8_192
QUERY_MAX_CHARS = 10_000
_METADATA_BYTES = 16 * 1024
_METADATA_DEPTH = 16
_TAG_BYTES = 256
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # escaped by JSON, unlike the six characters of its escape
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = -62_135_596_800_000  # the beginning of the year 1
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999


def _named(value: str) -> str:
    if problem := name_problem(value):
        raise ValueError(problem)
    return value


def _content(value: str) -> str:
    if problem := text_problem(value, CONTENT_MAX_CHARS):
        raise ValueError(problem)
    return value


def _tag(value: str) -> str:
    size_bytes = len(value.encode())
    if not 1 <= size_bytes <= _TAG_BYTES:
        raise ValueError(f"has {size_bytes} bytes; 1 to {_TAG_BYTES} are allowed")
    if "\0" in value:
        raise ValueError("has a NUL character")
    return value


def _instant(value: object) -> object:
    """Read ISO 8601 (without a zone: UTC) or milliseconds since 1970."""
    if isinstance(value, bool):
        raise ValueError("is neither ISO 8601 nor milliseconds since 1970")
    if isinstance(value, int | float):
        if not _EARLIEST_MS <= value <= _LATEST_MS:
            raise ValueError("is beyond the years that can be kept; give milliseconds since 1970")
        return _EPOCH + timedelta(milliseconds=value)
    if isinstance(value, str):
        try:
            return _utc(datetime.fromisoformat(value.strip()))
        except ValueError as error:
            raise ValueError("is neither ISO 8601 nor milliseconds since 1970") from error
    return value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("is beyond the years that can be kept") from error


def _metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if _depth(value) > _METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {_METADATA_DEPTH}")
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise ValueError("has a number or a text that JSON cannot carry: infinite, or broken Unicode") from error
    if len(encoded) > _METADATA_BYTES:
        raise ValueError(f"is {len(encoded)} bytes of JSON; at most {_METADATA_BYTES}")
    if _NUL.search(encoded):
        raise ValueError("has a NUL character")
    return value


def _depth(value: JsonValue) -> int:
    """Return how deep `value` is nested, without recursion."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inside(outer)]:
        depth += 1
        if depth > _METADATA_DEPTH:
            break
    return depth


def _inside(value: JsonValue) -> Sequence[JsonValue]:
    if isinstance(value, dict):
        return list(value.values()) or [None]
    return (value or [None]) if isinstance(value, list) else []


Content = Annotated[str, Field(min_length=1, max_length=CONTENT_MAX_CHARS), AfterValidator(_content)]
Name = Annotated[str, AfterValidator(_named), Field(description="At most 128 bytes, no control characters.")]
Tags = Annotated[list[Annotated[str, AfterValidator(_tag)]], Field(max_length=64)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant, json_schema_input_type=str | float),
    Field(description="ISO 8601, or milliseconds since 1970."),
]
Metadata = Annotated[
    dict[str, JsonValue], AfterValidator(_metadata), Field(description="At most 16 KiB of JSON, 16 levels deep.")
]
Vector = Annotated[list[float], Field(min_length=1, max_length=EMBEDDING_MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class AddRequest(_Request):
    """A memory to keep."""

    content: Content
    id: UUID | None = Field(None, description="Your own id; taken: 409.")
    tags: Tags | None = None
    metadata: Metadata | None = None
    user_id: Name | None = None
    project_id: Name | None = None
    session_id: Name | None = Field(None, description="The conversation it is a turn of.")
    speaker: Name | None = None
    occurred_at: Instant | None = Field(None, description="When it happened; the time of writing if absent.")
    sector: Sector | None = Field(None, description="Instead of the one that the rules find.")
    salience: Share | None = None
    embedding: Vector | None = Field(None, description="Instead of the server's own; of its dimension.")


class AddBatchRequest(_Request):
    """Memories to keep together: all or, with `partial`, those that can be."""

    items: list[AddRequest] = Field(min_length=1, max_length=BATCH_MOST)
    partial: StrictBool = False


class QueryFilters(_Request):
    """What narrows a question; each may also stand at the top level."""

    user_id: Name | None = None
    project_id: Name | None = None
    session_id: Name | None = None
    sector: Sector | None = None
    sectors: list[Sector] | None = Field(None, min_length=1, max_length=len(Sector))
    tags: Tags | None = Field(None, description="Memories that have all of these.")
    tags_any: Tags | None = Field(None, description="Memories that have at least one of these.")
    metadata: Metadata | None = Field(None, description="Memories whose metadata contain this.")
    since: Instant | None = None
    until: Instant | None = None
    startTime: Instant | None = Field(None, description="Another name of `since`.")
    endTime: Instant | None = Field(None, description="Another name of `until`.")
    min_score: float | None = None
    include_shared: bool | None = Field(None, description="With `user_id`: memories of no user too.")


class QueryRequest(QueryFilters):
    """A question, by text or embedding or both."""

    query: str | None = Field(None, max_length=QUERY_MAX_CHARS)
    embedding: Vector | None = None
    k: int = Field(
        8,
        ge=1,
        le=MATCHES_MOST,
        validation_alias=AliasChoices("k", "top_k", "limit"),
        description="How many at most; also `top_k` or `limit`.",
    )
    explain: bool = False
    filters: QueryFilters | None = Field(
        None, validation_alias=AliasChoices("filters", "filter"), description="Also `filter`."
    )

    def narrowing(self, name: str) -> Any:  # noqa: ANN401 -- the caller knows the field's type
        """Return a filter from the top level or, failing that, from `filters`."""
        own = getattr(self, name)
        return own if own is not None or self.filters is None else getattr(self.filters, name)


class PatchRequest(_Request):
    """What to change of a memory; what is absent stays."""

    content: Content | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None
    salience: Share | None = None
    user_id: Name | None = Field(None, description="Refuse unless the memory is this user's.")


class ReinforceRequest(_Request):
    """A memory to make more salient."""

    id: str = Field(min_length=1, max_length=64)
    boost: Share | None = None
    user_id: Name | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class AddAnswer(_Answer):
    """What became of a memory; `deduplicated`: it was known already, under this id."""

    id: UUID
    primary_sector: str
    sectors: list[str]
    chunks: int = 1
    deduplicated: bool


class ItemError(_Answer):
    """Why one item of a partial batch was not kept."""

    error: str
    title: str
    type: str


class AddBatchAnswer(_Answer):
    """What became of each item, in order."""

    results: list[AddAnswer | ItemError]


# Answers of many memories are dataclasses: a Pydantic model costs ten times as much to make.


@dataclass(frozen=True, slots=True)
class MemoryAnswer:
    """A memory; times are milliseconds since 1970, `occurred_at` is ISO 8601."""

    id: UUID
    content: str
    primary_sector: str
    sectors: list[str]
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
    decay_lambda: Annotated[
        float, Field(description="Share of salience lost a day: salience * exp(-decay_lambda * days).")
    ]
    version: int


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """The parts of a relevance, which is their sum; the score is 1 - exp(-relevance / 0.3)."""

    lexical: float
    dense: float
    context_dense: float
    boosts: dict[str, float]
    relevance: float


@dataclass(frozen=True, slots=True)
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
    """A memory was changed."""

    id: UUID
    updated: Literal[True] = True
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


class FieldProblem(_Answer):
    """A field and what is wrong with it."""

    field: str
    message: str


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
