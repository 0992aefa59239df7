"""Salience is a function of time: it fades by the sector's rate and grows by reinforcement, whenever looked at."""

from math import exp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openmemory.core.memory import Asked, Change, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import RATE_PER_DAY, Sector
from openmemory.errors import MemoryNotFound
from openmemory.service.memories import Memories
from tests.factories import NOON, a_scope
from tests.service import worlds
from tests.service.conftest import HandClock, Rooms
from tests.service.fading import ABOUT, a_memory


@pytest.mark.parametrize("sector", Sector)
@pytest.mark.parametrize("days", [0, 0.5, 10, 365, 100_000])
async def test_a_memory_fades_by_its_sectors_rate(
    memories: Memories, scope: Scope, clock: HandClock, sector: Sector, days: float
) -> None:
    added = await memories.add(scope, Told("the mill wheel turns", sector=sector, salience=0.8))
    clock.advance(days=days)

    kept = await memories.get(scope, added.id)
    (counted,) = await memories.sector_counts(scope)

    wanted = 0.8 * exp(-RATE_PER_DAY[sector] * days)
    assert kept.salience_now(clock.now) == pytest.approx(wanted, abs=ABOUT)
    assert counted.avg_salience == pytest.approx(wanted, abs=ABOUT)


@pytest.mark.parametrize("salience", [0.0, 5e-324, 1e-300, 1e-10])
@pytest.mark.parametrize("days", [0, 1_000_000])
async def test_a_salience_that_is_next_to_nothing_fades_to_nothing(
    rooms: Rooms, scope: Scope, salience: float, days: int
) -> None:
    added = await rooms.memories.add(scope, Told("the mill wheel turns", sector=Sector.EPISODIC, salience=salience))
    rooms.clock.advance(days=days)

    (counted,) = await rooms.memories.sector_counts(scope)
    (match,) = (await rooms.search.find(scope, Asked("mill wheel"))).matches
    await rooms.memories.reinforce(scope, added.id, 0.2)

    assert counted.avg_salience == pytest.approx(match.salience, abs=ABOUT)
    assert (await rooms.memories.get(scope, added.id)).salience == pytest.approx(0.2, abs=ABOUT)


async def test_reading_and_listing_do_not_change_how_a_memory_fades(
    memories: Memories, scope: Scope, clock: HandClock
) -> None:
    kept = await a_memory(memories, scope)
    for _ in range(3):
        clock.advance(days=5)
        await memories.get(scope, kept.id)

    assert (await memories.get(scope, kept.id)).salience_now(clock.now) == pytest.approx(0.8 * exp(-0.015 * 15))


async def test_reinforcement_adds_to_what_is_left(memories: Memories, scope: Scope, clock: HandClock) -> None:
    kept = await a_memory(memories, scope)
    clock.advance(days=30)

    await memories.reinforce(scope, kept.id, 0.2)

    now = await memories.get(scope, kept.id)
    assert now.salience == pytest.approx(0.8 * exp(-0.015 * 30) + 0.2, abs=ABOUT)
    assert now.salience_at == now.last_seen_at == clock.now
    assert now.version == kept.version


async def test_reinforcement_stops_at_one(memories: Memories, scope: Scope) -> None:
    kept = await a_memory(memories, scope)

    for _ in range(5):
        await memories.reinforce(scope, kept.id)

    assert (await memories.get(scope, kept.id)).salience == 1


async def test_what_is_said_again_is_reinforced(memories: Memories, scope: Scope, clock: HandClock) -> None:
    kept = await a_memory(memories, scope)
    clock.advance(days=20)

    await memories.add(scope, Told("The mill wheel turns.", sector=Sector.EPISODIC))

    now = await memories.get(scope, kept.id)
    assert now.salience == pytest.approx(0.8 * exp(-0.015 * 20) + 0.1, abs=ABOUT)
    assert now.last_seen_at == clock.now
    assert now.created_at == NOON


async def test_a_clock_that_goes_back_adds_nothing(memories: Memories, scope: Scope, clock: HandClock) -> None:
    kept = await a_memory(memories, scope)
    clock.advance(days=-3)

    await memories.reinforce(scope, kept.id, 0)

    assert (await memories.get(scope, kept.id)).salience == pytest.approx(0.8)


async def test_a_change_keeps_the_salience_that_is_left_or_takes_the_one_given(
    memories: Memories, scope: Scope, clock: HandClock
) -> None:
    kept = await a_memory(memories, scope)
    clock.advance(days=10)

    tagged = await memories.change(scope, kept.id, Change(tags=("t",)))
    set_anew = await memories.change(scope, kept.id, Change(salience=0.1))

    assert tagged.salience_now(clock.now) == pytest.approx(0.8 * exp(-0.15), abs=ABOUT)
    assert set_anew.salience_now(clock.now) == pytest.approx(0.1)
    clock.advance(days=10)
    assert (await memories.get(scope, kept.id)).salience_now(clock.now) == pytest.approx(0.1 * exp(-0.15), abs=ABOUT)


async def test_what_is_not_there_cannot_be_reinforced(memories: Memories, scope: Scope) -> None:
    kept = await a_memory(memories, a_scope())

    with pytest.raises(MemoryNotFound):
        await memories.reinforce(scope, kept.id)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 12), st.booleans())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_smaller_k_returns_the_beginning_of_what_a_larger_one_does(
    rooms: Rooms, saliences: list[float], k: int, as_text: bool
) -> None:
    scope = a_scope()
    told = [
        Told(f"the harbour lamp {'burns ' * (place % 3)}{place}", salience=salience)
        for place, salience in enumerate(saliences)
    ]
    await rooms.memories.add_all(scope, told)
    text, embedding = ("harbour lamp", None) if as_text else (None, worlds.embedding_of(1))

    all_of_them = (await rooms.search.find(scope, Asked(text, embedding, k=12))).matches
    some = (await rooms.search.find(scope, Asked(text, embedding, k=k))).matches

    scores = [one.score for one in all_of_them]
    assert scores == sorted(scores, reverse=True)
    found = [[one.memory.content for one in matches] for matches in (some, all_of_them[:k])]
    assert found[0] == found[1]


async def test_of_memories_that_answer_equally_well_the_more_salient_one_comes_first(
    rooms: Rooms, scope: Scope
) -> None:
    near = worlds.embedding_of(1)
    told = [Told(f"number {place}", embedding=near, salience=place / 4) for place in range(4)]
    await rooms.memories.add_all(scope, told)

    found = await rooms.search.find(scope, Asked(None, near, k=1, explain=True, min_score=1 - exp(-1.02 / 0.3)))

    assert [one.memory.content for one in found.matches] == ["number 3"]
    (explained,) = [one.explanation for one in found.matches if one.explanation]
    assert explained.boosts == pytest.approx({"salience": 0.0225})
