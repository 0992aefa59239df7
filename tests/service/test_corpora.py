"""What search keeps of a scope is never other than what PostgreSQL would send."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.adapters.embedders import Embedder
from openmemory.core.memory import Asked, Change, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Names, Statement
from openmemory.postgres.vectors import Version
from openmemory.service.corpora import Corpora
from openmemory.service.encoding import Encoder
from openmemory.service.search import Match, Search
from tests.factories import NOON, a_scope
from tests.service import worlds
from tests.service.conftest import Rooms, rooms_on
from tests.service.kept import corpus_of, ids_of

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
    first = await corpus_of(database, corpora, scope)

    second = await corpus_of(database, corpora, scope)

    assert second is first
    assert reads == [None]


async def test_after_an_add_only_what_is_new_is_read(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    added = [(await rooms.memories.add(scope, Told("a brass lamp"))).id]
    first = await corpus_of(database, corpora, scope)
    added += [one.id for one in await rooms.memories.add_all(scope, [Told("a ferry"), Told("a harbour")])]

    second = await corpus_of(database, corpora, scope)

    assert ids_of(second) == set(added)
    assert reads == [None, int(first.turns.places.max())]


async def test_after_an_add_only_what_is_new_is_read_though_others_add_meanwhile(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpora, version = Corpora(1 << 30), vectors.version
    added = [(await rooms.memories.add(scope, Told("a brass lamp"))).id]
    first = await corpus_of(database, corpora, scope)
    added.append((await rooms.memories.add(scope, Told("a ferry"))).id)

    async def overtaken(tx: TenantTx, *, shared: bool) -> Version:
        seen = await version(tx, shared=shared)
        await rooms.memories.add(scope, Told("a harbour"))
        return seen

    monkeypatch.setattr(vectors, "version", overtaken)
    second = await corpus_of(database, corpora, scope)

    assert ids_of(second) == set(added)
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
        before = await corpus_of(database, corpora, scope)

    after = await corpus_of(database, corpora, scope)

    assert (ids_of(before), ids_of(after)) == ({added.id}, {early.id, added.id})


async def test_a_new_text_is_found_however_often_the_memory_was_changed_before(
    database: Database, rooms: Rooms, scope: Scope
) -> None:
    corpora = Corpora(1 << 30)
    added = await rooms.memories.add(scope, Told("pelicans in the harbour"))
    async with database.tenant(scope) as tx:
        assert await tx.run(_CHANGED_OFTEN) == 1
    seen = [await corpus_of(database, corpora, scope)]
    for text in ("quarterly invoices", "a brass lamp", "the ferry"):
        await rooms.memories.change(scope, added.id, Change(text))
        seen.append(await corpus_of(database, corpora, scope))

    assert len({corpus.codes.firsts.tobytes() for corpus in seen}) == len(seen)


async def test_a_memory_with_two_rows_that_are_both_written_again_is_read_anew(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    await rooms.memories.add(scope, Told("a brass lamp", sector=Sector.SEMANTIC))
    async with database.tenant(scope) as tx:
        assert await tx.run(_SECOND_ROW) == 1
    await corpus_of(database, corpora, scope)
    async with database.tenant(scope) as tx:
        assert await tx.run(_WRITTEN_AGAIN) == 2

    await corpus_of(database, corpora, scope)

    assert reads == [None, None]


async def test_users_of_a_tenant_and_the_whole_of_it_are_kept_apart(
    database: Database, rooms: Rooms, scope: Scope
) -> None:
    corpora = Corpora(1 << 30)
    told = [Told(f"a lamp of {user}", user_id=user) for user in ("u", "v")]
    first, second = (one.id for one in await rooms.memories.add_all(scope, told))

    of_each = [ids_of(await corpus_of(database, corpora, Scope(scope.tenant, user))) for user in ("u", "v", None)]

    assert of_each == [{first}, {second}, {first, second}]


async def test_many_rows_come_in_several_strings(
    database: Database, rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rooms.memories.add_all(scope, [Told(f"a brass lamp, number {place}") for place in range(25)])
    whole = await corpus_of(database, Corpora(0), scope)
    monkeypatch.setattr(vectors, "_ROWS_IN_A_STRING", 10)

    parted = await corpus_of(database, Corpora(0), scope)

    assert parted.turns.ids.tobytes() == whole.turns.ids.tobytes()
    assert np.array_equal(parted.postings.keys, whole.postings.keys)
