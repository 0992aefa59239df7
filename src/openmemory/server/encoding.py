"""Convert between the public contract (`wire`) and the service's values."""

from datetime import UTC, datetime, timedelta
from functools import cache
from struct import Struct
from typing import Any
from uuid import UUID

import numpy as np

from openmemory import wire
from openmemory.core.memory import Asked, Change, Embedding, Filters, JsonObject, Memory, Place, Told
from openmemory.core.ranking import Explanation
from openmemory.core.sectors import Sector, mask, unmask
from openmemory.errors import FieldError, Malformed, OpenMemoryError, Unprocessable
from openmemory.server.problems import STATUS
from openmemory.service.keeping import Added
from openmemory.service.memories import Page
from openmemory.service.search import Found, Match, Trace

_Name = str | None
_Shown = tuple[
    UUID,
    str,
    str,
    tuple[str, ...],
    list[str],
    JsonObject,
    _Name,
    _Name,
    _Name,
    _Name,
    str,
    int,
    int,
    int,
    float,
    float,
    int,
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_K = 8


def told(request: wire.AddRequest) -> Told:
    """Return the memory in a request; if `sector` is absent, a `metadata.sector` counts that names one."""
    metadata = request.metadata or {}
    return Told(
        content=request.content,
        id=request.id,
        user_id=request.user_id,
        project_id=request.project_id,
        session_id=request.session_id,
        speaker=request.speaker,
        occurred_at=request.occurred_at,
        sector=request.sector or _sector_of(metadata),
        tags=tuple(request.tags or ()),
        metadata=metadata,
        salience=request.salience,
        embedding=_embedding(request.embedding),
    )


def asked(request: wire.QueryRequest) -> Asked:
    """Return the question that a request asks."""
    text = (request.query or "").strip()
    if request.embedding is None:
        if not request.query:
            raise Malformed.at("query", "is missing; give `query`, `embedding` or both")
        if not text:
            raise Unprocessable("query: is blank; ask something, or give an `embedding`")
    k = agreed(request, "k", "top_k", "limit")
    explain = agreed(request, "explain")
    return Asked(
        text=request.query if text else None,
        embedding=_embedding(request.embedding),
        k=_K if k is None else k,
        filters=_filters(request),
        min_score=agreed(request, "min_score"),
        explain=bool(explain),
    )


def agreed(request: wire.QueryRequest, *names: str) -> Any:  # noqa: ANN401 -- the caller knows the field's type
    """Return the value that a question gives anywhere under one of `names`; raises Malformed if it gives two."""
    given = list(request.given(*names).items())
    for other, value in given[1:]:
        if value != given[0][1]:
            raise contradiction(given[0][0], other)
    return given[0][1] if given else None


def contradiction(one: str, other: str) -> Malformed:
    """Return the error of two fields that mean the same and say different things."""
    fields = (FieldError(one, f"differs from {other}"), FieldError(other, f"differs from {one}"))
    return Malformed(f"{one} and {other} mean the same and differ; send one of them", fields)


def place(cursor: str | None) -> Place | None:
    """Return where a page begins; raises Malformed for what is no cursor."""
    if cursor is None:
        return None
    try:
        return Place.parse(cursor)
    except ValueError as error:
        raise Malformed.at("cursor", str(error)) from error


def change(request: wire.PatchRequest) -> Change:
    """Return the change that a request asks for; a `metadata.sector` that names one changes the sector too."""
    named = _sector_of(request.metadata or {})
    if None not in (request.sector, named) and request.sector != named:
        raise contradiction("sector", "metadata.sector")
    if request.embedding is not None and request.content is None:
        raise Malformed.at("embedding", "comes with the `content` it is of; send both")
    if not request.asks_for_a_change:
        for name, remedy in wire.NEVER_SET.items():
            if getattr(request, name) is not None:
                raise Malformed.at(name, f"cannot be changed: {remedy}")
    return Change(
        content=request.content,
        tags=None if request.tags is None else tuple(request.tags),
        metadata=request.metadata,
        salience=request.salience,
        embedding=_embedding(request.embedding),
        sector=request.sector or named,
        as_read=_as_read(request),
    )


def _as_read(request: wire.PatchRequest) -> dict[str, object]:
    given = {name: value for name in wire.AS_READ if (value := getattr(request, name)) is not None}
    if request.sectors is not None:
        given["sectors"] = mask(request.sectors)
    return given


def added(result: Added) -> wire.AddAnswer:
    """Return the answer to an add."""
    return wire.AddAnswer(
        id=result.id,
        primary_sector=result.primary_sector,
        sectors=_sectors(result.primary_sector, result.sectors),
        deduplicated=result.deduplicated,
    )


def added_or_refused(result: Added | OpenMemoryError) -> wire.AddAnswer | wire.ItemError:
    """Return the answer for one item of a partial batch."""
    if not isinstance(result, OpenMemoryError):
        return added(result)
    return wire.ItemError(
        error=result.detail,
        title=result.title,
        type=f"/problems/{result.code}",
        status=STATUS[type(result)],
        code=result.code,
        errors=[wire.FieldProblem(field=one.field, message=one.message) for one in result.fields] or None,
    )


def memory(value: Memory, now: datetime) -> wire.MemoryAnswer:
    """Return a memory as clients see it at `now`."""
    return wire.MemoryAnswer(*_shown(value, value.salience_now(now)))


def page(value: Page, now: datetime) -> wire.PageAnswer:
    """Return a page of memories."""
    cursor = None if value.next_before is None else str(value.next_before)
    return wire.PageAnswer(items=[memory(one, now) for one in value.items], next_cursor=cursor)


def found(question: str | None, value: Found) -> wire.QueryAnswer:
    """Return the answer to a question."""
    matches = [_match(one) for one in value.matches]
    return wire.QueryAnswer(query=question, matches=matches, explain=_trace(value.trace))


def _match(value: Match) -> wire.MatchAnswer:
    return wire.MatchAnswer(
        *_shown(value.memory, value.salience),
        score=value.score,
        path=[value.memory.id],
        explain=_parts(value.explanation),
    )


def _parts(value: Explanation | None) -> wire.ScoreParts | None:
    if value is None:
        return None
    return wire.ScoreParts(
        lexical=value.lexical,
        dense=value.dense,
        context_dense=value.context_dense,
        boosts=dict(value.boosts),
        relevance=value.relevance,
    )


def _trace(value: Trace | None) -> wire.TraceAnswer | None:
    if value is None:
        return None
    return wire.TraceAnswer(path=value.path, visible=value.visible, reranked=value.reranked, plan=list(value.plan))


def _shown(value: Memory, salience: float) -> _Shown:
    """Return the fields of `wire.MemoryAnswer` in their order."""
    return (
        value.id,
        value.content,
        value.primary_sector,
        _sectors(value.primary_sector, value.sectors),
        value.tags,
        value.metadata,
        value.user_id,
        value.project_id,
        value.session_id,
        value.speaker,
        value.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        _ms(value.created_at),
        _ms(value.updated_at),
        _ms(value.last_seen_at),
        salience,
        value.decay_rate,
        value.version,
    )


def _filters(request: wire.QueryRequest) -> Filters:
    sectors = list(agreed(request, "sectors") or ())
    if (one := agreed(request, "sector")) is not None:
        sectors.append(one)
    since, until = agreed(request, "since", "startTime"), agreed(request, "until", "endTime")
    if since and until and until < since:
        raise Malformed.at("until", f"is before since ({since.isoformat()}): nothing lies between them")
    return Filters(
        session_id=agreed(request, "session_id"),
        sectors=mask(sectors) if sectors else None,
        tags=tuple(agreed(request, "tags") or ()),
        tags_any=tuple(agreed(request, "tags_any") or ()),
        metadata=agreed(request, "metadata"),
        since=since,
        until=until,
        include_shared=bool(agreed(request, "include_shared")),
    )


def _embedding(values: list[float] | None) -> Embedding | None:
    if values is None:
        return None
    try:
        # `pack` makes C floats in a third of the time that numpy or an array takes.
        return np.frombuffer(_floats(len(values)).pack(*values), np.float32)
    except OverflowError:
        # What a float4 cannot hold becomes infinite, and is refused as such.
        with np.errstate(over="ignore"):
            return np.array(values, np.float32)


@cache
def _floats(count: int) -> Struct:
    return Struct(f"{count}f")


def _sector_of(metadata: JsonObject) -> Sector | None:
    """Return the sector that a client's metadata names; any other word there is the client's own."""
    named = metadata.get("sector")
    return Sector(named) if isinstance(named, str) and named in set(Sector) else None


@cache
def _sectors(primary: str, bits: int) -> tuple[str, ...]:
    return primary, *(sector.value for sector in unmask(bits) if sector.value != primary)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS
