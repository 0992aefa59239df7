"""A filtered question finds what is left of the unfiltered one; a narrowed one, what a smaller tenant would."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.core.memory import Asked, Filters, Told
from openmemory.core.scope import Scope
from openmemory.service.search import Found, Match
from tests.factories import NOON, a_scope
from tests.service import worlds
from tests.service.conftest import Rooms

narrowings = st.tuples(st.sampled_from(worlds.USERS), st.sampled_from(worlds.PROJECTS))


async def _world(rooms: Rooms, told: list[Told]) -> Scope:
    scope = a_scope()
    await rooms.memories.add_all(scope, told)
    return scope


def _scores(matches: list[Match]) -> list[tuple[str, float]]:
    return [(match.memory.content, match.score) for match in matches]


@settings(deadline=None, max_examples=40)
@given(told=worlds.worlds, asked=worlds.questions, filters=worlds.filters, narrowing=narrowings)
async def test_a_filter_leaves_of_the_whole_ranking_what_passes_it(
    still_rooms: Rooms, told: list[Told], asked: Asked, filters: Filters, narrowing: tuple[str | None, str | None]
) -> None:
    scope = Scope((await _world(still_rooms, told)).tenant, *narrowing)
    whole = await still_rooms.search.find(scope, replace(asked, filters=Filters(include_shared=filters.include_shared)))

    found = await still_rooms.search.find(scope, replace(asked, filters=filters))

    visible = {one.content for one in told if worlds.belongs(one, scope, shared=filters.include_shared)}
    assert {match.memory.content for match in whole.matches} == visible
    assert _scores(found.matches) == _scores([one for one in whole.matches if worlds.passes(one.memory, filters)])


@settings(deadline=None, max_examples=25)
@given(told=worlds.worlds, asked=worlds.questions, filters=worlds.filters, narrowing=narrowings)
async def test_a_narrowed_scope_finds_what_a_tenant_of_these_memories_alone_would(
    still_rooms: Rooms, told: list[Told], asked: Asked, filters: Filters, narrowing: tuple[str | None, str | None]
) -> None:
    narrow = Scope((await _world(still_rooms, told)).tenant, *narrowing)
    alone = await _world(
        still_rooms, [one for one in told if worlds.belongs(one, narrow, shared=filters.include_shared)]
    )

    found = await still_rooms.search.find(narrow, replace(asked, filters=filters))
    wanted = await still_rooms.search.find(alone, replace(asked, filters=replace(filters, include_shared=False)))

    assert _scores(found.matches) == _scores(wanted.matches)


@settings(deadline=None, max_examples=25)
@given(told=worlds.worlds, asked=worlds.questions, k=st.integers(1, 12), min_score=st.floats(-0.1, 1.1))
async def test_k_and_min_score_cut_the_whole_ranking(
    still_rooms: Rooms, told: list[Told], asked: Asked, k: int, min_score: float
) -> None:
    scope = await _world(still_rooms, told)
    whole = [match.score for match in (await still_rooms.search.find(scope, asked)).matches]

    best = await still_rooms.search.find(scope, replace(asked, k=k))
    good = await still_rooms.search.find(scope, replace(asked, min_score=min_score))

    assert sorted(match.score for match in best.matches) == sorted(whole, reverse=True)[:k][::-1]
    assert [match.score for match in good.matches] == [score for score in whole if min_score <= 0 or score >= min_score]


async def test_a_filter_finds_its_few_among_many_that_rank_better(rooms: Rooms, scope: Scope) -> None:
    many = [Told(f"the brass lamp shines {place}") for place in range(320)]
    few = [Told(f"nothing of the kind {place}", tags=("rare",)) for place in range(5)]
    await rooms.memories.add_all(scope, [*many, *few])

    found = await rooms.search.find(scope, Asked("brass lamp", k=5, filters=Filters(tags=("rare",)), explain=True))

    assert {match.memory.content for match in found.matches} == {one.content for one in few}
    assert found.trace is not None
    assert (found.trace.visible, found.trace.reranked) == (325, 5)


async def test_a_tenant_with_one_memory_among_large_ones_finds_it(rooms: Rooms, scope: Scope) -> None:
    for place in range(2):
        large = a_scope()
        await rooms.memories.add_all(large, [Told(f"the brass lamp shines {place} {n}") for n in range(400)])
    added = await rooms.memories.add(scope, Told("a pear tree"))

    for asked in (Asked("brass lamp"), Asked(None, worlds.embedding_of(1))):
        found: Found = await rooms.search.find(scope, asked)

        assert [match.memory.id for match in found.matches] == [added.id]


async def test_who_speaks_in_shared_memories_is_known_where_they_are_asked_for(rooms: Rooms, scope: Scope) -> None:
    await rooms.memories.add_all(scope, [Told("The pump is loud", speaker="Mara"), Told("Soup", user_id="u")])
    of_u = scope.narrowed("u", None)

    shared = await rooms.search.find(of_u, Asked("Mara", explain=True, filters=Filters(include_shared=True)))
    alone = await rooms.search.find(scope, Asked("Mara", explain=True))

    told = {match.memory.content: match.explanation for match in shared.matches}
    assert told == {match.memory.content: match.explanation for match in alone.matches}


async def test_context_never_crosses_users(rooms: Rooms, scope: Scope) -> None:
    talk = [
        Told("Where does the ferry stop in winter", user_id="u", session_id="s"),
        Told("I had soup", user_id="v", session_id="s"),
        Told("It was cold", user_id=None, session_id="s"),
        Told("At the old pier", user_id="u", session_id="s"),
    ]
    await rooms.memories.add_all(scope, talk)

    found = await rooms.search.find(scope, Asked("ferry winter stop", k=10, explain=True))

    parts = {match.memory.content: match.explanation for match in found.matches}
    neighbour, stranger, nobody = (parts[one.content] for one in (talk[3], talk[1], talk[2]))
    assert neighbour is not None
    assert stranger is not None
    assert nobody is not None
    assert neighbour.lexical > 0
    assert neighbour.context_dense != 0
    assert (stranger.lexical, stranger.context_dense) == (0, 0)
    assert (nobody.lexical, nobody.context_dense) == (0, 0)


async def test_shared_memories_come_only_when_asked_for(rooms: Rooms, scope: Scope) -> None:
    await rooms.memories.add_all(scope, [Told(f"lamp of {user}", user_id=user) for user in worlds.USERS])
    own = Scope(scope.tenant, "u")

    alone = await rooms.search.find(own, Asked("lamp"))
    shared = await rooms.search.find(own, Asked("lamp", filters=Filters(include_shared=True)))

    assert {match.memory.user_id for match in alone.matches} == {"u"}
    assert {match.memory.user_id for match in shared.matches} == {"u", None}


@pytest.mark.parametrize("k", [1, 2, 3, 4])
async def test_of_equal_memories_the_newer_come_first(rooms: Rooms, scope: Scope, k: int) -> None:
    same = worlds.embedding_of(7)
    told = [
        Told(f"twin {place}", embedding=same, salience=0.5, occurred_at=NOON + timedelta(hours=hour))
        for place, hour in enumerate([2, 1, 3, 3])
    ]
    await rooms.memories.add_all(scope, [*told, Told("apart", embedding=-same, salience=1.0)])

    found = await rooms.search.find(scope, Asked(None, same, k=k))

    assert [match.memory.content for match in found.matches] == ["twin 3", "twin 2", "twin 0", "twin 1"][:k]


async def test_of_equal_scores_the_more_present_comes_first(rooms: Rooms, scope: Scope) -> None:
    same = worlds.embedding_of(7)
    for place, salience in enumerate([0.9, 0.1, 0.5]):
        await rooms.memories.add(scope, Told(f"twin {place}", embedding=same, salience=salience))

    found = await rooms.search.find(scope, Asked(None, same))

    assert [match.memory.content for match in found.matches] == ["twin 0", "twin 2", "twin 1"]
