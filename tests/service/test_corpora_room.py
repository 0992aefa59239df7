"""What search keeps of scopes takes no more room than there is, and what was asked last stays."""

from openmemory.core.memory import Told
from openmemory.postgres.database import Database
from openmemory.service.corpora import Corpora
from tests.factories import a_scope
from tests.service.conftest import Rooms
from tests.service.kept import corpus_of


async def test_no_more_is_kept_than_there_is_room_for(
    database: Database, rooms: Rooms, reads: list[int | None]
) -> None:
    scopes = [a_scope() for _ in range(3)]
    for scope in scopes:
        await rooms.memories.add(scope, Told("a brass lamp"))
    size_bytes = (await corpus_of(database, Corpora(0), scopes[0])).size_bytes
    corpora = Corpora(2 * size_bytes)
    for scope in scopes:
        await corpus_of(database, corpora, scope)
    reads.clear()

    for scope in (scopes[1], scopes[2], scopes[0]):
        await corpus_of(database, corpora, scope)

    assert reads == [None]


async def test_scopes_without_a_memory_take_room_too(database: Database) -> None:
    corpora = Corpora(20 * 4_096)
    tenant = a_scope()
    scopes = [tenant.narrowed(f"user {number}", None) for number in range(50)]
    for scope in scopes:
        assert len(await corpus_of(database, corpora, scope)) == 0

    assert [corpora.known(scope, shared=False) is not None for scope in scopes] == [False] * 30 + [True] * 20


async def test_a_corpus_without_room_leaves_the_others_alone(
    database: Database, rooms: Rooms, reads: list[int | None]
) -> None:
    small, large = a_scope(), a_scope()
    await rooms.memories.add(small, Told("a brass lamp"))
    await rooms.memories.add_all(large, [Told(f"a ferry, number {place}") for place in range(20)])
    corpora = Corpora((await corpus_of(database, Corpora(0), small)).size_bytes)
    await corpus_of(database, corpora, small)
    reads.clear()

    assert len(await corpus_of(database, corpora, large)) == 20
    assert len(await corpus_of(database, corpora, large)) == 20
    await corpus_of(database, corpora, small)

    assert reads == [None, None]
