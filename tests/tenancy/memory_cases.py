"""What tenant B tries with A's names on memories: what encodes, keeps, reads, changes, deletes and finds them."""

import asyncio
from functools import partial
from math import inf
from uuid import UUID

import numpy as np

from openmemory.core.memory import Asked, Change, Filters, NewMemory, Told
from openmemory.core.scope import Scope
from openmemory.service.conflicts import tried_again
from openmemory.service.corpora import BeingRead, Corpora
from openmemory.service.keeping import keep_all, keep_each
from tests.factories import NOON
from tests.tenancy.attempts import Answers, Attempt, Case, a_copy, tried


async def _add(at: Attempt) -> Answers:
    memories = at.stage.memories
    # The same text is no duplicate of A's; then A's id is free in B's own rows.
    said = await tried(memories.add(at.scope, a_copy(at.theirs)))
    taken = await tried(memories.add(at.scope, Told("a text of our own", id=at.theirs.ids[0])))
    return [said, taken]


async def _add_all(at: Attempt) -> Answers:
    told = [a_copy(at.theirs, at.theirs.ids[1]), Told("ours", id=at.theirs.ids[2])]
    return [await tried(at.stage.memories.add_all(at.scope, told))]


async def _add_each(at: Attempt) -> Answers:
    told = [a_copy(at.theirs, at.theirs.ids[1]), Told(" "), Told("ours", id=at.theirs.ids[2])]
    return [repr(one) for one in await at.stage.memories.add_each(at.scope, told)]


async def _keep(at: Attempt) -> Answers:
    told = [a_copy(at.theirs, at.theirs.ids[1]), Told("ours", id=at.theirs.ids[2])]
    new = await at.stage.encoder.encode(told, NOON)
    kept = await tried(keep_all(at.database, at.scope, new[:1], NOON))
    return [kept, *(repr(one) for one in await keep_each(at.database, at.scope, new, NOON))]


async def _get(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await tried(at.stage.memories.get(scope, one)) for scope in scopes for one in at.theirs.ids]


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
        await tried(memories.change(scope, memory_id, change, versions))
        for scope in scopes
        for versions in (None, {1}, {2})
    ]


async def _reinforce(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await tried(at.stage.memories.reinforce(scope, at.theirs.ids[0], 0.5)) for scope in scopes]


async def _delete(at: Attempt) -> Answers:
    scopes = (at.scope, at.as_their_user)
    return [await tried(at.stage.memories.delete(scope, one)) for scope in scopes for one in at.theirs.ids]


async def _delete_user(at: Attempt) -> Answers:
    return [await at.stage.memories.delete_user(at.scope, at.theirs.user)]


async def _sector_counts(at: Attempt) -> Answers:
    return [await at.stage.memories.sector_counts(scope) for scope in (at.scope, at.as_their_user)]


async def _totals(at: Attempt) -> Answers:
    return [await at.stage.memories.totals(scope) for scope in (at.scope, at.as_their_user)]


async def _find(at: Attempt) -> Answers:
    word, theirs = at.theirs.word, at.theirs
    (embedding,) = await at.stage.encoder.embedder.embed([f"{word} keeps the spare key under stone number 0"])
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


async def _waited_for(at: Attempt) -> Answers:
    corpora = Corpora(0)

    async def ids(scope: Scope) -> list[UUID]:
        try:
            async with at.database.tenant(scope, read_only=True) as tx:
                corpus = await corpora.of(tx, shared=True)
        except BeingRead as reading:
            found = await reading.over()
            assert found is not None
            corpus = found.corpus
        return [UUID(bytes=one.tobytes()) for one in corpus.turns.ids]

    theirs = Scope(at.theirs.tenant)
    _, *seen = await asyncio.gather(ids(theirs), *(ids(scope) for scope in (at.scope, at.as_their_user) * 2))
    return [one for answer in seen for one in answer]


async def _encode(at: Attempt) -> Answers:
    return [memory.content for memory in await at.stage.encoder.encode([a_copy(at.theirs)], NOON)]


async def _encode_each(at: Attempt) -> Answers:
    new = await at.stage.encoder.encode_each([a_copy(at.theirs)], NOON)
    return [one.content if isinstance(one, NewMemory) else one for one in new]


async def _embed_question(at: Attempt) -> Answers:
    return [(await at.stage.encoder.embed_question("a tenant", "a question")) is None]


async def _check_embedding(at: Attempt) -> Answers:
    at.stage.encoder.check_embedding(np.ones(at.stage.encoder.dimension, np.float32))
    return []


async def _refusal(at: Attempt) -> Answers:
    return [at.stage.encoder.refusal(a_copy(at.theirs))]


async def _tried_again(at: Attempt) -> Answers:
    return [await tried_again(partial(at.stage.memories.totals, at.scope))]


MEMORY_CASES: dict[str, Case] = {
    "conflicts.tried_again": _tried_again,
    "corpora.Corpora.confirm": _corpus,
    "corpora.Corpora.known": _corpus,
    "corpora.Corpora.of": _corpus,
    "corpora.BeingRead.over": _waited_for,
    "encoding.Encoder.check_embedding": _check_embedding,
    "encoding.Encoder.embed_question": _embed_question,
    "encoding.Encoder.encode": _encode,
    "encoding.Encoder.encode_each": _encode_each,
    "encoding.Encoder.refusal": _refusal,
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
    "search.Search.find": _find,
    "vocabularies.Vocabularies.note_write": _note_write,
    "vocabularies.Vocabularies.of": _vocabulary,
}
