"""What search keeps of a scope is never other than what PostgreSQL would send."""

import asyncio
from dataclasses import replace
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.adapters.embedders import Embedder
from openmemory.core.corpus import Corpus
from openmemory.core.memory import Asked, Change, Told
from openmemory.core.question import Vocabulary
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Call, Names, Statement
from openmemory.postgres.vectors import Rows, Version
from openmemory.service.corpora import Corpora
from openmemory.service.encoding import Encoder
from openmemory.service.search import Match, Search
from openmemory.service.vocabularies import Vocabularies
from tests.factories import NOON, a_scope
from tests.service import worlds
from tests.service.conftest import Rooms, rooms_on

_COLUMNS = (
    "user_id, project_id, session_id, session_key, occurred_at, seq, sectors, speaker_key, traits, terms, embedding"
)
# A lifted old database has a row for each sector of a memory, all of one number.
_SECOND_ROW = Statement(
    "corpora.second_row",
    f"INSERT INTO {{vectors}} (tenant_id, id, sector, {_COLUMNS})"
    f" SELECT tenant_id, id, 'emotional', {_COLUMNS} FROM {{vectors}} WHERE tenant_id = %(tenant)s",
    type(None),
    rows_of(type(None)),
)
# As an import does that embeds what it brought.
_WRITTEN_AGAIN = Statement(
    "corpora.written_again",
    "UPDATE {vectors} SET seq = seq | 4611686018427387904 WHERE tenant_id = %(tenant)s",
    type(None),
    rows_of(type(None)),
)


# A memory whose metadata were changed very often: its search row is still the first.
_CHANGED_OFTEN = Statement(
    "corpora.changed_often",
    "UPDATE {memories} SET version = 16384 WHERE tenant_id = %(tenant)s",
    type(None),
    rows_of(type(None)),
)


@pytest.fixture(scope="session")
def forgetful(database: Database, embedder: Embedder, names: Names) -> Search:
    """Return a search that keeps nothing."""
    return rooms_on(database, embedder, names, Corpora(0)).search


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return what is read from PostgreSQL during the test: for each reading the place it began after, None for all."""
    begun: list[int | None] = []
    rows = vectors.rows

    async def noted(tx: TenantTx, *, shared: bool = False, after: int | None = None) -> Rows:
        begun.append(after)
        return await rows(tx, shared=shared, after=after)

    monkeypatch.setattr(vectors, "rows", noted)
    return begun


async def _corpus(database: Database, corpora: Corpora, scope: Scope) -> Corpus:
    async with database.tenant(scope, read_only=True) as tx:
        return await corpora.of(tx, shared=False)


def _ids(corpus: Corpus) -> set[UUID]:
    return {UUID(bytes=one.tobytes()) for one in corpus.turns.ids}


def _scores(matches: list[Match]) -> list[tuple[UUID, int, float]]:
    return [(match.memory.id, match.memory.version, match.score) for match in matches]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), worlds.told),
        st.tuples(st.just("retell"), st.integers(0, 50)),
        st.tuples(st.just("tag"), st.integers(0, 50)),
        st.tuples(st.just("resector"), st.integers(0, 50)),
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.tuples(st.just("forget"), st.sampled_from([user for user in worlds.USERS if user])),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(told=worlds.worlds, steps=_steps, asked=worlds.questions, user=st.sampled_from(worlds.USERS))
async def test_after_any_change_the_answer_is_that_of_a_search_that_keeps_nothing(
    still_rooms: Rooms,
    forgetful: Search,
    told: list[Told],
    steps: list[tuple[str, Told | int | str]],
    asked: Asked,
    user: str | None,
) -> None:
    scope = a_scope()
    narrow = Scope(scope.tenant, user)
    kept = [one.id for one in await still_rooms.memories.add_all(scope, told)]
    for number, step in enumerate(steps):
        for _ in range(number % 4):
            # Once to know the rows, once more to know that they stay, and then they are ranked before they are checked.
            await still_rooms.search.find(narrow, asked)

        kept = await _changed(still_rooms, scope, kept, number, step)

        found, wanted = await still_rooms.search.find(narrow, asked), await forgetful.find(narrow, asked)
        assert _scores(found.matches) == _scores(wanted.matches)


async def _changed(
    rooms: Rooms, scope: Scope, kept: list[UUID], number: int, step: tuple[str, Told | int | str]
) -> list[UUID]:
    """Return the ids that are left after a step."""
    _, what = step
    if isinstance(what, Told):
        added = await rooms.memories.add(scope, replace(what, content=f"{what.content} step{number}"))
        return [*kept, added.id]
    if isinstance(what, str):
        await rooms.memories.delete_user(scope, what)
        left = (await rooms.memories.listing(scope, limit=1000, filters=Asked("x").filters)).items
        return [one.id for one in left]
    if not kept:
        return kept
    return await _changed_one(rooms, scope, kept, kept[what % len(kept)], f"{step[0]}{number}")


async def _changed_one(rooms: Rooms, scope: Scope, kept: list[UUID], memory_id: UUID, what: str) -> list[UUID]:
    if what.startswith("retell"):
        # As many words as many other memories have, so that the numbers that describe a row may stay the same.
        change = Change(content=f"brass lamp {what}", embedding=worlds.embedding_of(len(what)))
        await rooms.memories.change(scope, memory_id, change)
    elif what.startswith("resector"):
        await rooms.memories.change(scope, memory_id, Change(sector=list(Sector)[len(kept) % 5]))
    elif what.startswith("tag"):
        await rooms.memories.change(scope, memory_id, Change(tags=(what,)))
    else:
        await rooms.memories.delete(scope, memory_id)
        return [one for one in kept if one != memory_id]
    return kept


async def test_what_is_known_is_not_read_again(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    await rooms.memories.add(scope, Told("a brass lamp"))
    first = await _corpus(database, corpora, scope)

    second = await _corpus(database, corpora, scope)

    assert second is first
    assert reads == [None]


async def test_many_who_ask_at_once_what_is_not_known_read_it_once(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    added = await rooms.memories.add(scope, Told("a brass lamp"))

    found = await asyncio.gather(*(_corpus(database, corpora, scope) for _ in range(8)))

    assert [_ids(one) for one in found] == [{added.id}] * 8
    assert reads == [None]


async def test_after_an_add_only_what_is_new_is_read(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    added = [(await rooms.memories.add(scope, Told("a brass lamp"))).id]
    first = await _corpus(database, corpora, scope)
    added += [one.id for one in await rooms.memories.add_all(scope, [Told("a ferry"), Told("a harbour")])]

    second = await _corpus(database, corpora, scope)

    assert _ids(second) == set(added)
    assert reads == [None, int(first.turns.places.max())]


async def test_a_memory_that_was_written_before_the_last_and_committed_after_it_is_not_missed(
    database: Database, rooms: Rooms, scope: Scope, embedder: Embedder, names: Names
) -> None:
    corpora = Corpora(1 << 30)
    (early,) = await Encoder(embedder, names.dimension).encode([Told("written first")], NOON)
    async with database.tenant(scope) as under_way:
        call = memories.insert_call([early], NOON, 0.1)
        await under_way.all(call.statement, **call.params)
        added = await rooms.memories.add(scope, Told("written second"))
        before = await _corpus(database, corpora, scope)

    after = await _corpus(database, corpora, scope)

    assert (_ids(before), _ids(after)) == ({added.id}, {early.id, added.id})


async def test_a_new_text_is_found_however_often_the_memory_was_changed_before(
    database: Database, rooms: Rooms, scope: Scope
) -> None:
    corpora = Corpora(1 << 30)
    added = await rooms.memories.add(scope, Told("pelicans in the harbour"))
    async with database.tenant(scope) as tx:
        assert await tx.run(_CHANGED_OFTEN) == 1
    seen = [await _corpus(database, corpora, scope)]
    for text in ("quarterly invoices", "a brass lamp", "the ferry"):
        await rooms.memories.change(scope, added.id, Change(text))
        seen.append(await _corpus(database, corpora, scope))

    assert len({corpus.codes.firsts.tobytes() for corpus in seen}) == len(seen)


async def test_a_memory_with_two_rows_that_are_both_written_again_is_read_anew(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    await rooms.memories.add(scope, Told("a brass lamp", sector=Sector.SEMANTIC))
    async with database.tenant(scope) as tx:
        assert await tx.run(_SECOND_ROW) == 1
    await _corpus(database, corpora, scope)
    async with database.tenant(scope) as tx:
        assert await tx.run(_WRITTEN_AGAIN) == 2

    await _corpus(database, corpora, scope)

    assert reads == [None, None]


async def test_no_more_is_kept_than_there_is_room_for(
    database: Database, rooms: Rooms, reads: list[int | None]
) -> None:
    scopes = [a_scope() for _ in range(3)]
    for scope in scopes:
        await rooms.memories.add(scope, Told("a brass lamp"))
    size_bytes = (await _corpus(database, Corpora(0), scopes[0])).size_bytes
    corpora = Corpora(2 * size_bytes)
    for scope in scopes:
        await _corpus(database, corpora, scope)
    reads.clear()

    for scope in (scopes[1], scopes[2], scopes[0]):
        await _corpus(database, corpora, scope)

    assert reads == [None]


async def test_of_many_who_ask_what_has_no_room_one_reads(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await rooms.memories.add(scope, Told("a brass lamp"))
    corpora, asked, rows, version = Corpora(0), asyncio.Semaphore(0), vectors.rows, vectors.version

    async def noted(tx: TenantTx, *, shared: bool) -> Version:
        found = await version(tx, shared=shared)
        asked.release()
        return found

    async def held(tx: TenantTx, *, shared: bool) -> Rows:
        for _ in range(4):  # until all have asked for the version
            await asked.acquire()
        return await rows(tx, shared=shared)

    monkeypatch.setattr(vectors, "version", noted)
    monkeypatch.setattr(vectors, "rows", held)

    found = await asyncio.gather(*(_corpus(database, corpora, scope) for _ in range(4)))

    assert [len(corpus) for corpus in found] == [1] * 4
    assert reads == [None]


async def test_of_many_who_ask_for_the_vocabulary_one_reads_it_and_its_leaving_harms_nobody(
    database: Database, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled, sample = 0, vectors.term_sample

    async def counted(tx: TenantTx, most: int) -> list[npt.NDArray[np.int32]]:
        nonlocal sampled
        sampled += 1
        return await sample(tx, most)

    monkeypatch.setattr(vectors, "term_sample", counted)
    vocabularies = Vocabularies(database)
    first, *others = (asyncio.create_task(vocabularies.of(scope)) for _ in range(5))
    await asyncio.sleep(0)
    first.cancel()

    assert await asyncio.gather(*others) == [Vocabulary()] * 4
    assert await vocabularies.of(scope) == Vocabulary()
    assert sampled == 1


async def test_scopes_without_a_memory_take_room_too(database: Database) -> None:
    corpora = Corpora(20 * 4_096)
    tenant = a_scope()
    scopes = [tenant.narrowed(f"user {number}", None) for number in range(50)]
    for scope in scopes:
        assert len(await _corpus(database, corpora, scope)) == 0

    assert [corpora.known(scope, shared=False) is not None for scope in scopes] == [False] * 30 + [True] * 20


async def test_a_corpus_without_room_leaves_the_others_alone(
    database: Database, rooms: Rooms, reads: list[int | None]
) -> None:
    small, large = a_scope(), a_scope()
    await rooms.memories.add(small, Told("a brass lamp"))
    await rooms.memories.add_all(large, [Told(f"a ferry, number {place}") for place in range(20)])
    corpora = Corpora((await _corpus(database, Corpora(0), small)).size_bytes)
    await _corpus(database, corpora, small)
    reads.clear()

    assert len(await _corpus(database, corpora, large)) == 20
    assert len(await _corpus(database, corpora, large)) == 20
    await _corpus(database, corpora, small)

    assert reads == [None, None]


async def test_users_of_a_tenant_and_the_whole_of_it_are_kept_apart(
    database: Database, rooms: Rooms, scope: Scope
) -> None:
    corpora = Corpora(1 << 30)
    told = [Told(f"a lamp of {user}", user_id=user) for user in ("u", "v")]
    first, second = (one.id for one in await rooms.memories.add_all(scope, told))

    of_each = [_ids(await _corpus(database, corpora, Scope(scope.tenant, user))) for user in ("u", "v", None)]

    assert of_each == [{first}, {second}, {first, second}]


async def test_many_rows_come_in_several_strings(
    database: Database, rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rooms.memories.add_all(scope, [Told(f"a brass lamp, number {place}") for place in range(25)])
    whole = await _corpus(database, Corpora(0), scope)
    monkeypatch.setattr(vectors, "_ROWS_IN_A_STRING", 10)

    parted = await _corpus(database, Corpora(0), scope)

    assert parted.turns.ids.tobytes() == whole.turns.ids.tobytes()
    assert np.array_equal(parted.postings.keys, whole.postings.keys)


async def test_of_many_questions_that_wait_one_has_the_scope_checked_for_the_others(
    rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, version_call = 0, vectors.version_call

    def counted(scope: Scope, names: Names, *, shared: bool = False) -> Call[Version]:
        nonlocal checked
        checked += 1
        return version_call(scope, names, shared=shared)

    added = await rooms.memories.add(scope, Told("a brass lamp"))
    for _ in range(2):  # read, and seen to stay
        await rooms.search.find(scope, Asked("lamp"))
    monkeypatch.setattr(vectors, "version_call", counted)

    answers = await asyncio.gather(*(rooms.search.find(scope, Asked("lamp")) for _ in range(40)))

    assert [[match.memory.id for match in found.matches] for found in answers] == [[added.id]] * 40
    assert 1 <= checked <= 8, "those under way check for themselves, and one more turn of them for those that wait"


async def test_whoever_asks_after_a_write_finds_it_however_many_ask_meanwhile(
    database: Database, embedder: Embedder, names: Names, rooms: Rooms, scope: Scope
) -> None:
    elsewhere = rooms_on(database, embedder, names).memories  # another process, of whose writes the search is not told
    await elsewhere.add(scope, Told("a brass lamp"))

    async def told_and_asked(number: int) -> bool:
        one = await elsewhere.add(scope, Told(f"parcel number{number} has arrived"))
        found = await rooms.search.find(scope, Asked(f"number{number}", k=100))
        return one.id in {match.memory.id for match in found.matches}

    async def only_asked(number: int) -> bool:
        return bool((await rooms.search.find(scope, Asked(f"number{number}"))).matches)

    answers = await asyncio.gather(
        *(ask(number) for number in range(40) for ask in (told_and_asked, only_asked, only_asked))
    )

    assert answers == [True] * 120
