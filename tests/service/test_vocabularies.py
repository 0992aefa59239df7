"""Who speaks in a scope is remembered for the scopes asked last, as long as there is room."""

import tracemalloc
from collections.abc import Callable

import pytest

from openmemory.core.memory import Told
from openmemory.core.question import Vocabulary
from openmemory.postgres import memories as rows
from openmemory.postgres.database import Database, TenantTx
from openmemory.service import vocabularies
from openmemory.service.memories import Memories
from openmemory.service.vocabularies import Vocabularies
from tests.factories import a_scope


@pytest.mark.parametrize(("speakers", "reads"), [(3, 2), (100, 3)])
async def test_vocabularies_are_kept_as_long_as_there_is_room(
    memories: Memories, database: Database, monkeypatch: pytest.MonkeyPatch, speakers: int, reads: int
) -> None:
    read, read_speakers = [], rows.speakers
    scopes = [a_scope(), a_scope()]
    for scope in scopes:
        await memories.add_all(scope, [Told("Yes.", speaker=f"Mara {place}") for place in range(speakers)])

    async def noted(tx: TenantTx, most: int, *, of_nobody: bool = False) -> frozenset[str]:
        read.append(tx.scope)
        return await read_speakers(tx, most, of_nobody=of_nobody)

    monkeypatch.setattr(rows, "speakers", noted)
    monkeypatch.setattr(vocabularies, "_KEPT_BYTES", 150_000)
    kept = Vocabularies(database)
    found = [await kept.of(scope) for scope in (*scopes, scopes[0])]

    assert [len(one.speakers) for one in found] == [speakers] * 3
    assert read == [*scopes, scopes[0]][:reads]


@pytest.mark.parametrize(
    "name",
    [
        lambda place: f"Ann Brown {place}",
        lambda place: f"{place:05d}" * 25,
        lambda place: " ".join(f"w{place * 20 + part}" for part in range(18)),
    ],
    ids=["short", "long", "of many parts"],
)
def test_the_size_of_a_vocabulary_is_known_well_enough(name: Callable[[int], str]) -> None:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    vocabulary = Vocabulary(frozenset(map(name, range(1_000))), frozenset(range(1_000_000, 1_000_100)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert vocabularies._size_bytes(vocabulary) == pytest.approx(after - before, rel=0.5)
