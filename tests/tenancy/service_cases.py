"""What tenant B tries with A's names, for every public method and function of the service room."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from uuid import UUID

import numpy as np

from openmemory.adapters.embedders import HashEmbedder
from openmemory.core.memory import Asked, Change, Filters, JsonValue, Told
from openmemory.core.scope import Scope
from openmemory.errors import OpenMemoryError
from openmemory.postgres.database import Database
from openmemory.postgres.statements import Names
from openmemory.service.clock import system_clock
from openmemory.service.compatibility import check_facts, facts_of
from openmemory.service.corpora import Corpora, worked
from openmemory.service.keeping import keep_all, keep_each
from openmemory.service.recalls import Recalls
from openmemory.service.shares import SearchTurns, Shares
from openmemory.service.upkeep import forget_keys, keep_alive
from tests.factories import NOON
from tests.tenancy.conftest import Stage
from tests.tenancy.victims import Marks


@dataclass(frozen=True)
class Attempt:
    """B's means: its own scope, every service, and the names of another tenant."""

    stage: Stage
    database: Database
    scope: Scope
    theirs: Marks

    @property
    def as_their_user(self) -> Scope:
        """Return B's scope, narrowed to the name of A's user."""
        return Scope(self.scope.tenant, self.theirs.user, self.theirs.project)


Answers = list[object]
Case = Callable[[Attempt], Awaitable[Answers]]


async def _tried(call: Awaitable[object]) -> object:
    try:
        return await call
    except OpenMemoryError as error:
        return f"{type(error).__name__}: {error.detail}"


def _copy(theirs: Marks, memory_id: UUID | None = None) -> Told:
    return Told(
        f"{theirs.word} keeps the spare key under stone number 0",
        id=memory_id,
        user_id=theirs.user,
        project_id=theirs.project,
        session_id=theirs.session,
        speaker=theirs.speaker,
        occurred_at=NOON,
    )


async def _add(at: Attempt) -> Answers:
    memories = at.stage.memories
    # The same text is no duplicate of A's; then A's id is free in B's own rows.
    said = await _tried(memories.add(at.scope, _copy(at.theirs)))
    taken = await _tried(memories.add(at.scope, Told("a text of our own", id=at.theirs.ids[0])))
    return [said, taken]


async def _add_all(at: Attempt) -> Answers:
    told = [_copy(at.theirs, at.theirs.ids[1]), Told("ours", id=at.theirs.ids[2])]
    return [await _tried(at.stage.memories.add_all(at.scope, told))]


async def _add_each(at: Attempt) -> Answers:
    told = [_copy(at.theirs, at.theirs.ids[1]), Told(" "), Told("ours", id=at.theirs.ids[2])]
    return [repr(one) for one in await at.stage.memories.add_each(at.scope, told)]


async def _keep(at: Attempt) -> Answers:
    told = [_copy(at.theirs, at.theirs.ids[1]), Told("ours", id=at.theirs.ids[2])]
    new = await at.stage.encoder.encode(told, NOON)
    kept = await _tried(keep_all(at.database, at.scope, new[:1], NOON))
    return [kept, *(repr(one) for one in await keep_each(at.database, at.scope, new, NOON))]


async def _get(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await _tried(at.stage.memories.get(scope, one)) for scope in scopes for one in at.theirs.ids]


async def _listing(at: Attempt) -> Answers:
    narrow = Filters(session_id=at.theirs.session)
    pages = [
        at.stage.memories.listing(at.scope, limit=1000, filters=Filters()),
        at.stage.memories.listing(at.scope, limit=1000, before=at.theirs.cursor, filters=Filters()),
        at.stage.memories.listing(at.scope, limit=1000, offset=1, filters=narrow),
        at.stage.memories.listing(at.as_their_user, limit=1000, filters=Filters()),
    ]
    return [await page for page in pages]


async def _change(at: Attempt) -> Answers:
    memories, memory_id = at.stage.memories, at.theirs.ids[0]
    change = Change("taken over", ("mine",), {"owner": "B"}, 1.0)
    scopes = (at.scope, at.as_their_user)
    return [
        await _tried(memories.change(scope, memory_id, change, versions))
        for scope in scopes
        for versions in (None, {1}, {2})
    ]


async def _reinforce(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await _tried(at.stage.memories.reinforce(scope, at.theirs.ids[0], 0.5)) for scope in scopes]


async def _delete(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await _tried(at.stage.memories.delete(scope, one)) for scope in scopes for one in at.theirs.ids]


async def _delete_user(at: Attempt) -> Answers:
    return [await at.stage.memories.delete_user(at.scope, at.theirs.user)]


async def _sector_counts(at: Attempt) -> Answers:
    return [await at.stage.memories.sector_counts(scope) for scope in (at.scope, at.as_their_user)]


async def _totals(at: Attempt) -> Answers:
    return [await at.stage.memories.totals(scope) for scope in (at.scope, at.as_their_user)]


async def _find(at: Attempt) -> Answers:
    word, theirs = at.theirs.word, at.theirs
    (embedding,) = await at.stage.encoder.embedder.embed([f"{word} keeps the spare key under stone number 0"], "query")
    narrowed = [
        Filters(),
        Filters(session_id=theirs.session, include_shared=True),
        Filters(tags=(theirs.tag,)),
        Filters(tags_any=(theirs.tag, "own")),
        Filters(metadata={"note": word}),
        Filters(since=NOON),
    ]
    questions = [Asked(f"where does {word} keep the key, {theirs.speaker}?", k=1000, filters=one) for one in narrowed]
    questions.append(Asked(None, np.asarray(embedding), k=1000))
    scopes = (at.scope, at.as_their_user)
    return [(await at.stage.search.find(scope, asked)).matches for scope in scopes for asked in questions]


async def _once(at: Attempt) -> Answers:
    async def write(_: object) -> JsonValue:
        return "written by B"

    def answered(text: JsonValue) -> JsonValue:
        return text

    once = at.stage.idempotency.once
    return [
        await _tried(once(at.scope, "loopback", at.theirs.key, digest, write, answered))
        for digest in (b"digest", b"another")
    ]


async def _note(at: Attempt) -> Answers:
    at.stage.recalls.note(at.scope, at.theirs.ids)
    return [await at.stage.recalls.flush()]


async def _run(at: Attempt) -> Answers:
    recalls = Recalls(at.database, lambda: NOON)
    recalls.note(at.scope, at.theirs.ids)
    running = asyncio.create_task(recalls.run())
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return [await recalls.flush()]


async def _admit(at: Attempt) -> Answers:
    return [await at.stage.tenants.admit(at.scope.tenant)]


async def _is_known(at: Attempt) -> Answers:
    return [await at.stage.tenants.is_known(at.scope.tenant)]


async def _ping(at: Attempt) -> Answers:
    await at.stage.tenants.ping()
    return []


async def _vocabulary(at: Attempt) -> Answers:
    vocabularies = at.stage.vocabularies
    return [await vocabularies.of(at.scope), await vocabularies.of(at.as_their_user)]


async def _note_write(at: Attempt) -> Answers:
    at.stage.vocabularies.note_write(at.as_their_user)
    return [await at.stage.vocabularies.of(at.scope)]


async def _corpus(at: Attempt) -> Answers:
    corpora = Corpora(1 << 30)
    theirs = (Scope(at.theirs.tenant), Scope(at.theirs.tenant, at.theirs.user))
    for scope in theirs:
        async with at.database.tenant(scope, read_only=True) as tx:
            await corpora.of(tx, shared=True)
    seen: Answers = []
    for scope in (at.scope, at.as_their_user):
        async with at.database.tenant(scope, read_only=True) as tx:
            corpus = await corpora.of(tx, shared=True)
            seen += [UUID(bytes=one.tobytes()) for one in corpus.turns.ids]
        for other in theirs:
            if (known_of_them := corpora.known(other, shared=True)) is not None:
                corpora.confirm(scope, known_of_them, shared=True, as_of_s=inf)
        known = corpora.known(scope, shared=True)
        seen += [UUID(bytes=one.tobytes()) for one in known.corpus.turns.ids] if known else []
    return seen


async def _encode(at: Attempt) -> Answers:
    return [memory.content for memory in await at.stage.encoder.encode([_copy(at.theirs)], NOON)]


async def _embed_question(at: Attempt) -> Answers:
    return [(await at.stage.encoder.embed_question("a tenant", "a question")) is None]


async def _check_embedding(at: Attempt) -> Answers:
    at.stage.encoder.check_embedding(np.ones(at.stage.encoder.dimension, np.float32))
    return []


async def _refusal(at: Attempt) -> Answers:
    return [at.stage.encoder.refusal(_copy(at.theirs))]


async def _turn(at: Attempt) -> Answers:
    turns, shares = SearchTurns(2, 0), Shares(1, 0)
    async with turns.turn(at.scope.tenant), shares.turn(at.scope.tenant):
        return []


async def _keep_alive(at: Attempt) -> Answers:
    revived: Answers = []
    running = asyncio.create_task(keep_alive(at.stage.tenants, lambda: revived.append("revived"), every_s=0))
    await at.stage.tenants.ping()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return revived


async def _forget_expired(at: Attempt) -> Answers:
    await at.stage.idempotency.forget_expired()
    return []


async def _forget_keys(at: Attempt) -> Answers:
    running = asyncio.create_task(forget_keys(at.stage.idempotency, every_s=0))
    await at.stage.idempotency.forget_expired()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return []


async def _visible_rows(at: Attempt) -> Answers:
    return [await at.stage.census.visible_rows(scope) for scope in (at.scope, at.as_their_user)]


async def _count(at: Attempt) -> Answers:
    return [await at.stage.census.count(scope) for scope in (at.scope, at.as_their_user)]


async def _sizes(at: Attempt) -> Answers:
    return [await at.stage.census.sizes(scope) for scope in (at.scope, at.as_their_user)]


async def _clock(_at: Attempt) -> Answers:
    return [system_clock().tzinfo]


async def _worked(_at: Attempt) -> Answers:
    return [await worked([], lambda: "what was given")]


async def _facts(_at: Attempt) -> Answers:
    wanted = facts_of(Names(), HashEmbedder(256))
    check_facts({}, wanted)
    return [wanted]


CASES: dict[str, Case] = {
    "census.Census.count": _count,
    "census.Census.sizes": _sizes,
    "census.Census.visible_rows": _visible_rows,
    "clock.system_clock": _clock,
    "corpora.Corpora.confirm": _corpus,
    "corpora.Corpora.known": _corpus,
    "corpora.Corpora.of": _corpus,
    "corpora.worked": _worked,
    "encoding.Encoder.check_embedding": _check_embedding,
    "encoding.Encoder.embed_question": _embed_question,
    "encoding.Encoder.encode": _encode,
    "encoding.Encoder.refusal": _refusal,
    "compatibility.check_facts": _facts,
    "compatibility.facts_of": _facts,
    "idempotency.Idempotency.once": _once,
    "keeping.keep_all": _keep,
    "keeping.keep_each": _keep,
    "memories.Memories.add": _add,
    "memories.Memories.add_all": _add_all,
    "memories.Memories.add_each": _add_each,
    "memories.Memories.change": _change,
    "memories.Memories.delete": _delete,
    "memories.Memories.delete_user": _delete_user,
    "memories.Memories.get": _get,
    "memories.Memories.listing": _listing,
    "memories.Memories.reinforce": _reinforce,
    "memories.Memories.sector_counts": _sector_counts,
    "memories.Memories.totals": _totals,
    "recalls.Recalls.flush": _note,
    "recalls.Recalls.note": _note,
    "recalls.Recalls.run": _run,
    "search.Search.find": _find,
    "shares.SearchTurns.turn": _turn,
    "shares.Shares.turn": _turn,
    "tenants.Tenants.admit": _admit,
    "idempotency.Idempotency.forget_expired": _forget_expired,
    "upkeep.forget_keys": _forget_keys,
    "tenants.Tenants.is_known": _is_known,
    "tenants.Tenants.ping": _ping,
    "upkeep.keep_alive": _keep_alive,
    "vocabularies.Vocabularies.note_write": _note_write,
    "vocabularies.Vocabularies.of": _vocabulary,
}
