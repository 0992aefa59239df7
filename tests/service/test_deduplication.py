"""What was said before is reinforced and not kept twice; two turns of a talk are two memories."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from openmemory.core.memory import Change, Filters, Told
from openmemory.core.scope import Scope
from openmemory.errors import MemoryExists
from openmemory.service.memories import Memories
from tests.factories import NOON

TURN = Told("The harbour is closed", user_id="u", project_id="p", session_id="s", speaker="Mara")


async def _count(memories: Memories, scope: Scope) -> int:
    return (await memories.totals(scope)).memories


@pytest.mark.parametrize(
    "again",
    ["The harbour is closed", "the HARBOUR is closed", "The harbour is closed...", "  The harbour\n is closed. "],
)
async def test_the_same_said_again_is_the_same_memory(memories: Memories, scope: Scope, again: str) -> None:
    first = await memories.add(scope, TURN)

    second = await memories.add(scope, replace(TURN, content=again))

    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert second.id == first.id
    assert (second.primary_sector, second.sectors) == (first.primary_sector, first.sectors)
    assert await _count(memories, scope) == 1


@pytest.mark.parametrize("part", ["user_id", "project_id", "session_id", "speaker"])
@pytest.mark.parametrize("value", [None, "another"])
async def test_another_place_makes_another_memory(
    memories: Memories, scope: Scope, part: str, value: str | None
) -> None:
    first = await memories.add(scope, TURN)

    elsewhere = replace(TURN, **{part: value})  # type: ignore[arg-type]  # the parts are texts that may be None
    second = await memories.add(scope, elsewhere)

    assert not second.deduplicated
    assert second.id != first.id


async def test_the_same_word_at_two_moments_is_two_turns(memories: Memories, scope: Scope) -> None:
    turns = [replace(TURN, content="Yes.", occurred_at=NOON + timedelta(seconds=place)) for place in range(2)]

    kept = await memories.add_all(scope, turns)
    again = await memories.add_all(scope, turns)

    assert [one.deduplicated for one in kept] == [False, False]
    assert [one.deduplicated for one in again] == [True, True]
    assert await _count(memories, scope) == 2


async def test_repetitions_inside_one_batch_are_one_memory(memories: Memories, scope: Scope) -> None:
    other = replace(TURN, content="The ferry runs")

    kept = await memories.add_all(scope, [TURN, other, replace(TURN, content="the harbour is closed."), TURN])

    assert [one.deduplicated for one in kept] == [False, False, True, True]
    assert kept[0].id == kept[2].id == kept[3].id != kept[1].id
    assert await _count(memories, scope) == 2


async def test_a_batch_tells_old_from_new(memories: Memories, scope: Scope) -> None:
    first = await memories.add(scope, TURN)

    kept = await memories.add_all(scope, [replace(TURN, content="The ferry runs"), TURN])

    assert [one.deduplicated for one in kept] == [False, True]
    assert kept[1].id == first.id


async def test_the_same_said_by_many_at_once_is_one_memory(memories: Memories, scope: Scope) -> None:
    kept = await asyncio.gather(*(memories.add(scope, TURN) for _ in range(12)))

    assert len({one.id for one in kept}) == 1
    assert sorted(one.deduplicated for one in kept) == [False] + [True] * 11
    assert await _count(memories, scope) == 1


async def test_batches_that_repeat_each_other_in_another_order_both_succeed(memories: Memories, scope: Scope) -> None:
    told = [replace(TURN, content=f"fact number {place}") for place in range(40)]

    kept = await asyncio.gather(*(memories.add_all(scope, order) for order in (told, told[::-1], told, told[::-1])))

    assert {one.id for one in kept[0]} == {one.id for one in kept[1]}
    assert await _count(memories, scope) == 40


async def test_what_is_said_in_another_tenant_is_no_repetition(memories: Memories, scope: Scope) -> None:
    first = await memories.add(scope, TURN)

    other = await memories.add(Scope(f"{scope.tenant}-other"), TURN)

    assert not other.deduplicated
    assert other.id != first.id


async def test_a_duplicate_has_one_vector_and_keeps_its_first_text(memories: Memories, scope: Scope) -> None:
    await memories.add(scope, TURN)
    await memories.add(scope, replace(TURN, content="THE HARBOUR IS CLOSED", tags=("loud",)))

    (kept,) = (await memories.listing(scope, limit=10, filters=Filters())).items

    assert (kept.content, kept.tags) == (TURN.content, [])


async def test_what_was_forgotten_can_be_said_again(memories: Memories, scope: Scope) -> None:
    first = await memories.add(scope, TURN)
    await memories.delete(scope, first.id)

    again = await memories.add(scope, TURN)

    assert not again.deduplicated


async def test_a_taken_id_is_refused(memories: Memories, scope: Scope) -> None:
    taken = uuid4()
    await memories.add(scope, replace(TURN, id=taken))

    with pytest.raises(MemoryExists):
        await memories.add(scope, Told("something else", id=taken))

    assert (await memories.get(scope, taken)).content == TURN.content
    assert await _count(memories, scope) == 1


async def test_an_id_taken_inside_the_batch_refuses_all_of_it(memories: Memories, scope: Scope) -> None:
    taken = uuid4()

    with pytest.raises(MemoryExists):
        await memories.add_all(scope, [Told("one", id=taken), Told("two"), Told("three", id=taken)])

    assert await _count(memories, scope) == 0


async def test_the_same_memory_with_its_own_id_again_is_a_repetition(memories: Memories, scope: Scope) -> None:
    own = replace(TURN, id=uuid4())
    await memories.add(scope, own)

    again = await memories.add(scope, own)

    assert again.deduplicated
    assert again.id == own.id


@pytest.mark.parametrize("occurred_at", [None, NOON - timedelta(days=1)])
async def test_a_change_to_what_another_memory_says_is_refused(
    memories: Memories, scope: Scope, occurred_at: object
) -> None:
    first, second = await memories.add_all(
        scope,
        [Told(text, session_id="s", occurred_at=occurred_at) for text in ("alpha", "beta")],  # type: ignore[arg-type]
    )

    with pytest.raises(MemoryExists):
        await memories.change(scope, second.id, Change("Alpha."))

    assert (await memories.get(scope, second.id)).content == "beta"
    assert first.id != second.id


async def test_what_a_memory_was_changed_to_is_known_when_it_is_said(memories: Memories, scope: Scope) -> None:
    added = await memories.add(scope, Told("alpha"))
    await memories.change(scope, added.id, Change("beta"))

    again = await memories.add(scope, Told("Beta"))
    former = await memories.add(scope, Told("alpha"))

    assert (again.deduplicated, again.id) == (True, added.id)
    assert not former.deduplicated
