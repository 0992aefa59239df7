"""An id that another memory has is refused, also for a text that is known; a free one, or its own, is no matter."""

from dataclasses import replace
from uuid import UUID

import pytest

from openmemory.core.memory import Filters, Memory, Told
from openmemory.core.scope import Scope
from openmemory.errors import MemoryExists
from openmemory.service.memories import Memories
from tests.service.conftest import HandClock

ALPHA, BETA = Told("alpha", id=UUID(int=1)), Told("beta", id=UUID(int=2))


async def _all(memories: Memories, scope: Scope) -> list[Memory]:
    return (await memories.listing(scope, limit=100, filters=Filters())).items


async def _kept(memories: Memories, scope: Scope, clock: HandClock) -> list[Memory]:
    """Keep ALPHA and BETA and return all there is; any reinforcement would show a minute later."""
    await memories.add_all(scope, [ALPHA, BETA])
    clock.advance(minutes=1)
    return await _all(memories, scope)


@pytest.mark.parametrize("is_sealed", [False, True])
async def test_an_id_of_another_memory_is_refused_though_the_text_is_known(
    memories: Memories, scope: Scope, clock: HandClock, is_sealed: bool
) -> None:
    before = await _kept(memories, scope, clock)

    async def seal(tx: object, added: object) -> None:
        """Keep nothing."""

    with pytest.raises(MemoryExists, match=f"^id: {ALPHA.id} is taken"):
        await memories.add(scope, Told("Beta.", id=ALPHA.id), seal if is_sealed else None)

    assert await _all(memories, scope) == before


async def test_its_own_id_again_is_a_repetition(memories: Memories, scope: Scope, clock: HandClock) -> None:
    await _kept(memories, scope, clock)

    again = await memories.add(scope, replace(ALPHA, content="Alpha."))

    assert (again.deduplicated, again.id) == (True, ALPHA.id)


async def test_a_free_id_with_a_known_text_is_a_repetition_of_the_one_there_is(
    memories: Memories, scope: Scope, clock: HandClock
) -> None:
    await _kept(memories, scope, clock)

    again = await memories.add(scope, replace(ALPHA, id=UUID(int=3)))

    assert (again.deduplicated, again.id) == (True, ALPHA.id)
    assert len(await _all(memories, scope)) == 2


async def test_an_id_of_another_tenant_is_free(memories: Memories, scope: Scope, clock: HandClock) -> None:
    await _kept(memories, scope, clock)
    other = Scope(f"{scope.tenant}-other")
    first = await memories.add(other, Told("beta"))

    again = await memories.add(other, Told("beta", id=ALPHA.id))

    assert (again.deduplicated, again.id) == (True, first.id)


TAKEN = {
    "of a memory kept before": ([Told("one"), Told("beta", id=ALPHA.id)], 1),
    "of a memory kept before, its text twice": ([Told("one"), Told("one", id=ALPHA.id)], 1),
    "of the batch, before the text that is known": ([Told("one", id=UUID(int=3)), Told("beta", id=UUID(int=3))], 1),
    "of the batch, its text twice": ([Told("one"), Told("two", id=UUID(int=3)), Told("one", id=UUID(int=3))], 2),
}


@pytest.mark.parametrize(("told", "at"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_taken_id_refuses_a_batch_by_its_place(
    memories: Memories, scope: Scope, clock: HandClock, told: list[Told], at: int
) -> None:
    before = await _kept(memories, scope, clock)

    with pytest.raises(MemoryExists, match=rf"^items\[{at}\].id: {told[at].id} is taken"):
        await memories.add_all(scope, told)

    assert await _all(memories, scope) == before


@pytest.mark.parametrize(("told", "at"), TAKEN.values(), ids=TAKEN.keys())
async def test_a_taken_id_refuses_its_own_memory_alone_where_others_may_be_kept(
    memories: Memories, scope: Scope, clock: HandClock, told: list[Told], at: int
) -> None:
    await _kept(memories, scope, clock)

    outcomes = await memories.add_each(scope, told)

    assert [isinstance(one, MemoryExists) for one in outcomes] == [place == at for place in range(len(told))]


async def test_a_batch_that_brings_its_ids_twice_is_kept_once(memories: Memories, scope: Scope) -> None:
    first = await memories.add_all(scope, [ALPHA, BETA, ALPHA])
    again = await memories.add_all(scope, [ALPHA, ALPHA, BETA])

    assert [(one.id, one.deduplicated) for one in first] == [(ALPHA.id, False), (BETA.id, False), (ALPHA.id, True)]
    assert [(one.id, one.deduplicated) for one in again] == [(ALPHA.id, True), (ALPHA.id, True), (BETA.id, True)]
