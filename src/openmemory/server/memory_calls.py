"""The calls on memories, under upstream's paths."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from pydantic import PlainValidator
from starlette.convertors import PathConvertor, register_url_convertor

from openmemory import wire
from openmemory.core.memory import Filters, Memory, Told
from openmemory.core.salience import REINFORCEMENT
from openmemory.core.sectors import Sector
from openmemory.errors import Malformed, OpenMemoryError
from openmemory.server import encoding
from openmemory.server.batches import read_batch
from openmemory.server.calling import (
    Called,
    IdempotencyKey,
    Parts,
    memory_id,
    narrowed,
    shown,
    write,
)
from openmemory.server.direct import DirectRoute, PlacedRoute
from openmemory.service.idempotency import Seal
from openmemory.service.keeping import Added

memory_calls = APIRouter(tags=["memories"], route_class=PlacedRoute)
direct_calls = APIRouter(tags=["memories"], route_class=DirectRoute)

# Written into the inner functions, each call would make them anew.
_SealOfAdd = Seal[Added] | None
_SealOfBatch = Seal[list[Added]] | None
_OFFSET_MOST = 10_000_000
_TAG = r'(W/)?"([!#-~\x80-\xff]*)"|([0-9]+)'  # a bare number is no entity tag, but what people send
_ENTITY_TAG = re.compile(_TAG)
_IF_MATCH = re.compile(rf"(?:{_TAG})(?:[ \t]*,[ \t]*(?:{_TAG}))*")
_VERSION = re.compile("0|[1-9][0-9]{0,8}")


class _NameInPath(PathConvertor):
    """Any name, also one with slashes, which arrive decoded."""

    regex = r"[\s\S]+"


register_url_convertor("name", _NameInPath())

UserId = Annotated[wire.Name | None, Query()]
ProjectId = Annotated[wire.Name | None, Query()]
MemoryId = Annotated[str, Path(description="The memory's UUID.", max_length=200)]
IfMatch = Annotated[str | None, Header(description='Only these versions, as in "3"; quotes may be left out.')]
# Parsed by the call itself: with `partial`, each memory is refused by itself.
UnreadBatch = Annotated[Any, Body(), PlainValidator(lambda value: value, json_schema_input_type=wire.AddBatchRequest)]
Limit = Annotated[int | None, Query(ge=1, le=1_000)]
Offset = Annotated[int | None, Query(ge=0, le=_OFFSET_MOST)]
Cursor = Annotated[str | None, Query(max_length=64, description="The `next_cursor` of the page before.")]


@direct_calls.post("/memory/add", response_model=wire.AddAnswer)
async def add(
    request: Request, body: wire.AddRequest, who: Called, parts: Parts, key: IdempotencyKey = None
) -> Response:
    """Keep a memory; one that says the same as an earlier one reinforces it instead."""

    told = encoding.told(body)

    async def action(seal: _SealOfAdd) -> Added:
        return await parts.memories.add(who.scope, told, seal)

    return await write(request, who, key, action, encoding.added)


@direct_calls.post("/memory/add/batch", response_model=wire.AddBatchAnswer)
async def add_batch(
    request: Request, body: UnreadBatch, who: Called, parts: Parts, key: IdempotencyKey = None
) -> Response:
    """Keep up to 1,000 memories: all or none, or with `partial` those that can be kept."""

    batch = read_batch(body)
    told = batch.all_told()

    async def add_all(seal: _SealOfBatch) -> list[Added]:
        return await parts.memories.add_all(who.scope, told, seal)

    async def add_each(_: object) -> list[Added | OpenMemoryError]:
        return await parts.memories.add_each(who.scope, told)

    if batch.partial:
        return await write(request, who, key, add_each, lambda outcomes: _added_of(batch.told, outcomes))
    return await write(
        request, who, key, add_all, lambda added: wire.AddBatchAnswer(results=[encoding.added(one) for one in added])
    )


@direct_calls.post("/memory/query", response_model=wire.QueryAnswer)
async def query(body: wire.QueryRequest, who: Called, parts: Parts) -> Response:
    """Find the memories that answer a question, best first."""
    scope = narrowed(who, encoding.agreed(body, "user_id"), encoding.agreed(body, "project_id"))
    return shown(encoding.found(body.query, await parts.search.find(scope, encoding.asked(body))))


@memory_calls.get("/memory/all", response_model=wire.PageAnswer)
async def listing(
    who: Called,
    parts: Parts,
    limit: Limit = None,
    l: Annotated[int | None, Query(ge=1, le=1_000, description="Upstream's name of `limit`.")] = None,  # noqa: E741
    offset: Offset = None,
    u: Annotated[int | None, Query(ge=0, le=_OFFSET_MOST, description="Upstream's name of `offset`.")] = None,
    cursor: Cursor = None,
    sector: Sector | None = None,
    user_id: UserId = None,
    project_id: ProjectId = None,
    session_id: Annotated[wire.Name | None, Query()] = None,
) -> Response:
    """List memories, the newest first."""
    page = await parts.memories.listing(
        narrowed(who, user_id, project_id),
        limit=_either("limit", limit, "l", l, 100),
        offset=_either("offset", offset, "u", u, 0),
        before=encoding.place(cursor),
        filters=Filters(session_id=session_id, sectors=sector.bit if sector else None),
    )
    return shown(encoding.page(page, parts.clock()))


@memory_calls.get("/memory/{id}", response_model=wire.MemoryAnswer)
async def get(id: MemoryId, who: Called, parts: Parts, user_id: UserId = None) -> Response:
    """Read a memory; the ETag is its version."""
    memory = await parts.memories.get(narrowed(who, user_id), memory_id(id))
    response = shown(encoding.memory(memory, parts.clock()))
    response.headers["etag"] = f'"{memory.version}"'
    return response


@memory_calls.patch("/memory/{id}", response_model=wire.PatchAnswer)
async def patch(
    request: Request,
    id: MemoryId,
    body: wire.PatchRequest,
    who: Called,
    parts: Parts,
    user_id: UserId = None,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Response:
    """Change a memory; a new content is classified and embedded again."""
    versions = _versions(request.headers.getlist("if-match"))
    if None not in (body.user_id, user_id) and body.user_id != user_id:
        raise encoding.contradiction("user_id", "query.user_id")

    scope = narrowed(who, body.user_id or user_id)

    async def action(seal: Seal[Memory] | None) -> Memory:
        return await parts.memories.change(scope, memory_id(id), encoding.change(body), versions, seal)

    def encode(changed: Memory) -> wire.PatchAnswer:
        return wire.PatchAnswer(id=changed.id, updated=body.asks_for_a_change, version=changed.version)

    return await write(request, who, key, action, encode)


@memory_calls.delete("/memory/{id}", response_model=wire.OkAnswer)
async def delete(
    request: Request,
    id: MemoryId,
    who: Called,
    parts: Parts,
    user_id: UserId = None,
    if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Response:
    """Forget a memory with its vectors and links."""
    versions = _versions(request.headers.getlist("if-match"))

    async def action(seal: Seal[None] | None) -> None:
        await parts.memories.delete(narrowed(who, user_id), memory_id(id), seal, versions=versions)

    return await write(request, who, key, action, lambda _: wire.OkAnswer())


@memory_calls.post("/memory/reinforce", response_model=wire.OkAnswer)
async def reinforce(
    request: Request, body: wire.ReinforceRequest, who: Called, parts: Parts, key: IdempotencyKey = None
) -> Response:
    """Make a memory more salient."""

    boost = REINFORCEMENT if body.boost is None else body.boost

    async def action(seal: Seal[None] | None) -> None:
        await parts.memories.reinforce(narrowed(who, body.user_id), memory_id(body.id), boost, seal)

    return await write(request, who, key, action, lambda _: wire.OkAnswer())


@memory_calls.get("/users/{user_id:name}/memories", response_model=wire.UserPageAnswer, tags=["users"])
async def of_user(
    user_id: wire.Name,
    who: Called,
    parts: Parts,
    limit: Limit = None,
    l: Annotated[int | None, Query(ge=1, le=1_000)] = None,  # noqa: E741
    offset: Offset = None,
    u: Annotated[int | None, Query(ge=0, le=_OFFSET_MOST)] = None,
    cursor: Cursor = None,
) -> Response:
    """List a user's memories, the newest first."""
    scope = narrowed(who, user_id)
    page = await parts.memories.listing(
        scope,
        limit=_either("limit", limit, "l", l, 100),
        offset=_either("offset", offset, "u", u, 0),
        before=encoding.place(cursor),
        filters=Filters(),
    )
    answer = encoding.page(page, parts.clock())
    return shown(wire.UserPageAnswer(answer.items, answer.next_cursor, user_id))


@memory_calls.delete("/users/{user_id:name}/memories", response_model=wire.DeletedAnswer, tags=["users"])
async def delete_of_user(
    request: Request, user_id: wire.Name, who: Called, parts: Parts, key: IdempotencyKey = None
) -> Response:
    """Forget a user and everything it told."""

    async def action(seal: Seal[int] | None) -> int:
        return await parts.memories.delete_user(who.scope, user_id, seal)

    return await write(request, who, key, action, lambda deleted: wire.DeletedAnswer(deleted=deleted))


def _added_of(told: Sequence[Told | Malformed], kept_or_not: Sequence[Added | OpenMemoryError]) -> wire.AddBatchAnswer:
    """Return the outcome of each memory of a batch, including those that could not be read."""
    kept = iter(kept_or_not)
    results = [
        _added_or_refused(next(kept), f"items[{place}]") if isinstance(one, Told) else encoding.added_or_refused(one)
        for place, one in enumerate(told)
    ]
    return wire.AddBatchAnswer(results=results)


def _added_or_refused(outcome: Added | OpenMemoryError, place: str) -> wire.AddAnswer | wire.ItemError:
    """Return the outcome of the memory at `place`; an error names the place."""
    return encoding.added_or_refused(outcome.inside(place) if isinstance(outcome, OpenMemoryError) else outcome)


def _either(name: str, value: int | None, other: str, other_value: int | None, otherwise: int) -> int:
    """Return the value of a parameter with two names; raises Malformed if both are given and differ."""
    if value is not None and other_value is not None and value != other_value:
        raise encoding.contradiction(name, other)
    return next((one for one in (value, other_value) if one is not None), otherwise)


def _versions(if_match: Sequence[str]) -> frozenset[int] | None:
    """Return the versions that If-Match names, or None if any version will do.

    Tags are compared strongly (RFC 9110, 13.1.1): a weak tag matches no version, nor does one that is no number.
    """
    text = ", ".join(if_match).strip()
    if not if_match or text == "*":
        return None
    if not _IF_MATCH.fullmatch(text):
        raise Malformed.at("If-Match", 'must be versions in quotes, as in "3", or *')
    tags = [quoted or bare for weak, quoted, bare in _ENTITY_TAG.findall(text) if not weak]
    return frozenset(int(tag) for tag in tags if _VERSION.fullmatch(tag))
