"""A changed memory is read, found and classified as what it now says, and by whom it may be changed."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import numpy as np
import pytest

from openmemory.adapters.embedders import HashEmbedder, Vectors
from openmemory.core.memory import Asked, Change, Filters, Memory, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import RATE_PER_DAY, Sector
from openmemory.errors import AnotherUsersMemory, MemoryNotFound, VersionChanged
from openmemory.postgres import memories as postgres_memories
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.statements import Names
from openmemory.service.memories import Memories
from tests.factories import NOON, a_scope
from tests.service.conftest import HandClock, Rooms, rooms_on


async def test_a_new_content_is_embedded_and_classified_anew(rooms: Rooms, scope: Scope) -> None:
    memories = rooms.memories
    added = await memories.add(scope, Told("Yesterday we visited the windmill", session_id="s", tags=("t",)))
    rooms.clock.advance(hours=1)

    changed = await memories.change(scope, added.id, Change("How to install: run the setup command, then restart"))

    kept = await memories.get(scope, added.id)
    assert changed == kept
    assert (kept.primary_sector, kept.decay_rate) == ("procedural", RATE_PER_DAY[Sector.PROCEDURAL])
    assert (kept.version, kept.updated_at, kept.created_at) == (2, rooms.clock.now, NOON)
    assert (kept.tags, kept.session_id, kept.occurred_at) == (["t"], "s", NOON)
    found = await rooms.search.find(scope, Asked("install setup", min_score=0.3, explain=True))
    former = await rooms.search.find(scope, Asked("windmill yesterday", explain=True))
    assert [(match.memory.id, match.memory.version) for match in found.matches] == [(added.id, 2)]
    assert [match.explanation.lexical for match in former.matches if match.explanation] == [0]


async def test_without_a_new_content_the_rest_changes_alone(memories: Memories, scope: Scope) -> None:
    added = await memories.add(scope, Told("a text", tags=("old",), metadata={"a": 1}, sector=Sector.EMOTIONAL))

    await memories.change(scope, added.id, Change(tags=("new", "er")))
    changed = await memories.change(scope, added.id, Change("a text", metadata={"b": 2}))

    assert (changed.tags, changed.metadata) == (["new", "er"], {"b": 2})
    assert (changed.primary_sector, changed.content, changed.version) == ("emotional", "a text", 3)


async def test_a_sector_is_corrected_and_stays_with_a_new_content(rooms: Rooms, scope: Scope) -> None:
    added = await rooms.memories.add(scope, Told("Yesterday we visited the windmill"))

    changed = await rooms.memories.change(scope, added.id, Change(sector=Sector.EMOTIONAL))
    again = await rooms.memories.change(scope, added.id, Change("How to install: run the setup command"))

    for memory in (changed, again):
        assert (memory.primary_sector, memory.sectors) == ("emotional", Sector.EMOTIONAL.bit)
        assert memory.decay_rate == RATE_PER_DAY[Sector.EMOTIONAL]
    assert again == await rooms.memories.get(scope, added.id)
    assert again.version == 3


async def test_a_memory_is_found_in_the_sector_that_it_was_given(rooms: Rooms, scope: Scope) -> None:
    added = await rooms.memories.add(scope, Told("Yesterday we visited the windmill"))
    await rooms.memories.change(scope, added.id, Change(sector=Sector.EMOTIONAL))

    for sector, wanted in ((Sector.EMOTIONAL, [added.id]), (Sector.EPISODIC, [])):
        found = await rooms.search.find(scope, Asked("windmill", filters=Filters(sectors=sector.bit)))
        listed = await rooms.memories.listing(scope, limit=9, filters=Filters(sectors=sector.bit))
        assert [match.memory.id for match in found.matches] == wanted
        assert [memory.id for memory in listed.items] == wanted


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        Change(sector=Sector.SEMANTIC),
        Change("a text"),
        Change(tags=("t",)),
        Change(metadata={"b": [1], "a": True}),
        Change(salience=0.5),
        Change("a text", ("t",), {"a": True, "b": [1]}, 0.5),
    ],
)
async def test_what_changes_nothing_leaves_the_version(memories: Memories, scope: Scope, change: Change) -> None:
    added = await memories.add(scope, Told("a text", tags=("t",), metadata={"a": True, "b": [1]}, salience=0.5))
    before = await memories.get(scope, added.id)

    changed = await memories.change(scope, added.id, change, versions={1})

    assert changed == before
    assert await memories.get(scope, added.id) == before
    with pytest.raises(VersionChanged):
        await memories.change(scope, added.id, change, versions={2})


@pytest.mark.parametrize(
    "change", [Change(tags=()), Change(metadata={"a": 1}), Change(metadata={}), Change(salience=0)]
)
async def test_what_changes_a_little_is_a_new_version(memories: Memories, scope: Scope, change: Change) -> None:
    added = await memories.add(scope, Told("a text", tags=("t",), metadata={"a": True}, salience=0.5))

    assert (await memories.change(scope, added.id, change)).version == 2


async def test_only_the_version_that_was_read_is_changed(memories: Memories, scope: Scope) -> None:
    added = await memories.add(scope, Told("a text"))
    await memories.change(scope, added.id, Change(tags=("first",)), versions={1})

    with pytest.raises(VersionChanged, match="at version 2 now"):
        await memories.change(scope, added.id, Change(tags=("second",)), versions={1})

    assert (await memories.get(scope, added.id)).tags == ["first"]


async def test_of_two_that_change_the_same_version_at_once_one_wins(memories: Memories, scope: Scope) -> None:
    added = await memories.add(scope, Told("a text"))

    outcomes = await asyncio.gather(
        *(memories.change(scope, added.id, Change(f"text {place}"), versions={1}) for place in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(one, VersionChanged) for one in outcomes) == 4
    assert (await memories.get(scope, added.id)).version == 2


async def test_changes_at_once_without_a_version_all_count(memories: Memories, scope: Scope) -> None:
    added = await memories.add(scope, Told("a text"))

    await asyncio.gather(*(memories.change(scope, added.id, Change(f"text {place}")) for place in range(5)))

    assert (await memories.get(scope, added.id)).version == 6


class _HeldEmbedder(HashEmbedder):
    """Embeds once it may, as a provider far away does."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked.set()
        await self.may_answer.wait()
        return await super().embed(texts)


async def test_a_sector_chosen_while_a_new_content_is_embedded_stays(database: Database, names: Names) -> None:
    scope, embedder = a_scope(), _HeldEmbedder(names.dimension)
    rooms = rooms_on(database, embedder, names)
    vector = np.ones(names.dimension, np.float32)
    added = await rooms.memories.add(scope, Told("Yesterday we visited the windmill", embedding=vector))

    retelling = asyncio.create_task(rooms.memories.change(scope, added.id, Change("We felt the wind")))
    await embedder.asked.wait()
    await rooms.memories.change(scope, added.id, Change(sector=Sector.PROCEDURAL))
    embedder.may_answer.set()
    await retelling

    kept = await rooms.memories.get(scope, added.id)
    assert (kept.content, kept.primary_sector, kept.version) == ("We felt the wind", "procedural", 3)
    assert kept.decay_rate == RATE_PER_DAY[Sector.PROCEDURAL]
    in_sector = Asked("wind", filters=Filters(sectors=Sector.PROCEDURAL.bit))
    assert [match.memory.id for match in (await rooms.search.find(scope, in_sector)).matches] == [added.id]


@pytest.mark.parametrize("owner", ["u", None])
async def test_another_users_memory_is_not_touched(memories: Memories, scope: Scope, owner: str | None) -> None:
    added = await memories.add(scope, Told("private", user_id=owner))
    before, other = await memories.get(scope, added.id), Scope(scope.tenant, "other")

    for attempt in (
        memories.get(other, added.id),
        memories.change(other, added.id, Change("mine now")),
        memories.reinforce(other, added.id, 0.5),
        memories.delete(other, added.id),
    ):
        with pytest.raises(AnotherUsersMemory):
            await attempt

    assert await memories.get(scope, added.id) == before


async def test_the_users_own_memory_is_the_users(memories: Memories, scope: Scope) -> None:
    own = Scope(scope.tenant, "u")
    added = await memories.add(own, Told("mine"))

    await memories.change(own, added.id, Change("still mine"))
    await memories.delete(own, added.id)

    with pytest.raises(MemoryNotFound):
        await memories.get(scope, added.id)


async def test_a_memory_that_is_not_there_is_not_found(memories: Memories, scope: Scope) -> None:
    for missing in (uuid4(), (await memories.add(a_scope(), Told("elsewhere"))).id):
        for attempt in (
            memories.get(scope, missing),
            memories.change(scope, missing, Change("x")),
            memories.delete(scope, missing),
        ):
            with pytest.raises(MemoryNotFound, match=str(missing)):
                await attempt


async def test_a_deleted_memory_is_found_no_more(rooms: Rooms, scope: Scope) -> None:
    added = await rooms.memories.add(scope, Told("the lamp of brass"))
    await rooms.memories.delete(scope, added.id)

    found = await rooms.search.find(scope, Asked("brass lamp", explain=True))

    assert found.matches == []
    assert found.trace is not None
    assert found.trace.visible == 0


async def test_forgetting_a_user_leaves_everybody_else(rooms: Rooms, scope: Scope) -> None:
    told = [Told(f"fact {place}", user_id=user) for place, user in enumerate(["u", "u", "v", None])]
    await rooms.memories.add_all(scope, told)
    elsewhere = Scope(f"{scope.tenant}-b")
    await rooms.memories.add(elsewhere, Told("same name", user_id="u"))

    deleted = [await rooms.memories.delete_user(scope, "u"), await rooms.memories.delete_user(scope, "u")]

    left = (await rooms.memories.listing(scope, limit=10, filters=Filters())).items
    assert deleted == [2, 0]
    assert [one.user_id for one in left] == [None, "v"]
    assert (await rooms.memories.totals(elsewhere)).memories == 1
    assert (await rooms.search.find(Scope(scope.tenant, "u"), Asked("fact"))).matches == []


async def test_a_user_with_very_many_memories_is_forgotten_in_pieces(
    rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmemory.service.memories._FORGOTTEN_AT_ONCE", 2)
    for user, count in (("u", 4), ("v", 5), ("w", 1)):
        await rooms.memories.add_all(scope, [Told(f"number {place}", user_id=user) for place in range(count)])

    assert [await rooms.memories.delete_user(scope, user) for user in ("u", "v", "v")] == [4, 5, 0]

    left = await rooms.memories.listing(scope, limit=10, filters=Filters())
    assert [memory.user_id for memory in left.items] == ["w"]


async def test_a_scope_of_one_user_cannot_forget_another(memories: Memories, scope: Scope) -> None:
    await memories.add(scope, Told("mine", user_id="u"))

    with pytest.raises(AnotherUsersMemory):
        await memories.delete_user(Scope(scope.tenant, "other"), "u")

    assert (await memories.totals(scope)).memories == 1


async def test_a_change_does_not_move_a_memory_in_time(memories: Memories, scope: Scope, clock: HandClock) -> None:
    added = await memories.add(scope, Told("then", occurred_at=NOON.replace(year=1999)))
    clock.advance(days=1)

    await memories.change(scope, added.id, Change("a new telling of then"))

    assert (await memories.get(scope, added.id)).occurred_at == NOON.replace(year=1999)


async def test_a_content_that_is_there_already_is_written_where_another_came_meanwhile(
    memories: Memories, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = await memories.add(scope, Told("the first text"))
    get = postgres_memories.get

    async def overtaken(tx: TenantTx, memory_id: UUID) -> Memory | None:
        found = await get(tx, memory_id)
        monkeypatch.setattr(postgres_memories, "get", get)
        await memories.change(scope, added.id, Change("what another client says"))
        return found

    monkeypatch.setattr(postgres_memories, "get", overtaken)

    changed = await memories.change(scope, added.id, Change("the first text"))

    assert (changed.content, changed.version) == ("the first text", 3)
    assert changed == await memories.get(scope, added.id)
