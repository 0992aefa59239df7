"""What becomes of what is told: all or none, or with `add_each` whatever can be kept."""

from collections.abc import Sequence
from uuid import uuid4

import numpy as np
import pytest

from openmemory.adapters.embedders import HashEmbedder
from openmemory.adapters.embedders.protocol import Vectors
from openmemory.core.ids import new_ids
from openmemory.core.memory import Embedding, Filters, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.errors import Malformed, MemoryExists, OpenMemoryError
from openmemory.postgres.database import Database
from openmemory.postgres.statements import Names
from openmemory.service.keeping import Added
from openmemory.service.memories import Memories
from tests.factories import NOON, an_embedding
from tests.service.conftest import HandClock, rooms_on


@pytest.mark.parametrize("content", ["", "   ", "\n\t", "nul \0", "x" * 100_001, "\ud800"])
async def test_a_content_that_cannot_be_kept_is_refused(memories: Memories, scope: Scope, content: str) -> None:
    with pytest.raises(Malformed, match="content"):
        await memories.add(scope, Told(content))


@pytest.mark.parametrize(
    "embedding",
    [np.ones(255, np.float32), np.zeros(256, np.float32), an_embedding(np.nan), an_embedding(np.inf), np.zeros(0)],
    ids=["short", "zeros", "nan", "infinite", "empty"],
)
async def test_an_embedding_that_cannot_be_compared_is_refused(
    memories: Memories, scope: Scope, embedding: Embedding
) -> None:
    with pytest.raises(Malformed, match="embedding"):
        await memories.add(scope, Told("a text", embedding=embedding))


async def test_one_that_cannot_be_kept_refuses_all(memories: Memories, scope: Scope) -> None:
    with pytest.raises(Malformed):
        await memories.add_all(scope, [Told("fine"), Told(" "), Told("fine too")])

    assert (await memories.totals(scope)).memories == 0


async def test_each_that_can_be_kept_is_kept_and_the_others_are_explained_in_order(
    memories: Memories, scope: Scope
) -> None:
    taken = uuid4()
    told = [
        Told("one", id=taken),
        Told(" "),
        Told("two"),
        Told("other", id=taken),
        Told("three", embedding=np.ones(3, np.float32)),
        Told("One."),
        Told("four"),
    ]

    outcomes = await memories.add_each(scope, told)

    assert [_kind(one) for one in outcomes] == ["kept", Malformed, "kept", MemoryExists, Malformed, "again", "kept"]
    assert (await memories.totals(scope)).memories == 3


async def test_an_empty_batch_keeps_nothing(memories: Memories, scope: Scope) -> None:
    assert await memories.add_each(scope, []) == []
    assert await memories.add_all(scope, []) == []


async def test_a_chosen_sector_is_the_only_one(memories: Memories, scope: Scope) -> None:
    text = "I felt so happy yesterday at the wedding dinner"
    by_rules = await memories.add(scope, Told(text))

    chosen = await memories.add(scope, Told(text, sector=Sector.PROCEDURAL, session_id="s"))

    assert by_rules.primary_sector in {"emotional", "episodic"}
    assert (chosen.primary_sector, chosen.sectors) == ("procedural", Sector.PROCEDURAL.bit)


async def test_what_is_told_comes_back_whole(memories: Memories, scope: Scope, clock: HandClock) -> None:
    told = Told(
        "  Ünïcode 🍐 with spaces\n\n and lines  ",
        id=uuid4(),
        user_id='u\'s \\ "x"',
        project_id="%s",
        session_id="{s}",
        speaker="Dr. Näme",
        occurred_at=NOON.replace(year=1815, microsecond=123456),
        tags=("b", "a", "", "a", "it's"),
        metadata={"deep": [1, 2.5, None, {"x": "\u2028'\"\\"}], "big": 2**60, "": False},
        salience=0.25,
    )

    added = await memories.add(scope, told)

    kept = await memories.get(scope, added.id)
    for part in ("content", "id", "user_id", "project_id", "session_id", "speaker", "occurred_at", "metadata"):
        assert getattr(kept, part) == getattr(told, part)
    assert (tuple(kept.tags), kept.salience, kept.version) == (told.tags, 0.25, 1)
    assert kept.created_at == kept.updated_at == kept.last_seen_at == kept.salience_at == clock.now


async def test_without_an_instant_a_memory_happened_when_it_was_told(
    memories: Memories, scope: Scope, clock: HandClock
) -> None:
    added = await memories.add(scope, Told("just now"))

    assert (await memories.get(scope, added.id)).occurred_at == clock.now


async def test_a_batch_is_listed_in_the_order_it_was_told(memories: Memories, scope: Scope) -> None:
    added = await memories.add_all(scope, [Told(f"fact {place}") for place in range(30)])

    listed = (await memories.listing(scope, limit=100, filters=Filters())).items

    assert [one.id for one in listed] == [one.id for one in reversed(added)]
    assert [one.id for one in added] == sorted(one.id for one in added)


async def test_of_a_conversation_of_which_one_turn_is_refused_the_others_stay_in_order(
    memories: Memories, scope: Scope
) -> None:
    taken = (await memories.add(scope, Told("here before"))).id
    turns = [Told(f"turn {place}", session_id="s", id=taken if place in {3, 8} else None) for place in range(10)]

    await memories.add_each(scope, turns)

    listed = (await memories.listing(scope, limit=100, filters=Filters(session_id="s"))).items
    assert [one.content for one in reversed(listed)] == [f"turn {place}" for place in range(10) if place not in {3, 8}]
    assert [one.occurred_at for one in listed] == [one.created_at for one in listed]


async def test_a_scope_narrowed_to_a_user_tells_for_that_user(memories: Memories, scope: Scope) -> None:
    added = await memories.add(Scope(scope.tenant, "u", "p"), Told("mine"))

    kept = await memories.get(scope, added.id)
    assert (kept.user_id, kept.project_id) == ("u", "p")
    with pytest.raises(ValueError, match="not the one that was proved"):
        await memories.add(Scope(scope.tenant, "u"), Told("not mine", user_id="another"))


async def test_a_text_of_very_many_words_is_kept_whole(memories: Memories, scope: Scope) -> None:
    content = " ".join(f"word{place}" for place in range(9_000))

    added = await memories.add(scope, Told(content))

    assert (await memories.get(scope, added.id)).content == content


def test_ids_ascend_inside_a_batch() -> None:
    ids = [one for one, _ in zip(new_ids(NOON), range(1_000), strict=False)]

    assert ids == sorted(set(ids))
    assert {one.version for one in ids} == {7}


def _kind(outcome: Added | OpenMemoryError) -> object:
    if isinstance(outcome, OpenMemoryError):
        return type(outcome)
    return "again" if outcome.deduplicated else "kept"


class CountingEmbedder(HashEmbedder):
    """An embedder that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(256)
        self.seen: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of `texts`."""
        self.seen += texts
        return await super().embed(texts)


async def test_each_is_embedded_once_whatever_is_refused(database: Database, names: Names, scope: Scope) -> None:
    embedder = CountingEmbedder()
    memories = rooms_on(database, embedder, names).memories
    taken = (await memories.add(scope, Told("here before"))).id
    embedder.seen.clear()
    told = [Told(f"number {place}", id=taken if place in {3, 11} else None) for place in range(16)]

    outcomes = await memories.add_each(scope, [*told, Told(" ")])

    assert sorted(embedder.seen) == sorted(one.content for one in told)
    refused = {place: str(one) for place, one in enumerate(outcomes) if isinstance(one, OpenMemoryError)}
    assert refused.keys() == {3, 11, 16}
    assert refused[3] == f"id: {taken} is taken by another memory of this tenant"
    assert (await memories.totals(scope)).memories == 15
