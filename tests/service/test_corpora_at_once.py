"""Of many who ask at once one reads what all need, and nobody is answered with less than was there when they asked."""

import asyncio

import numpy as np
import numpy.typing as npt
import pytest

from openmemory.adapters.embedders import Embedder
from openmemory.app import Logins
from openmemory.core.memory import Asked, Told
from openmemory.core.question import Vocabulary
from openmemory.core.scope import Scope
from openmemory.postgres import vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Call, Names
from openmemory.postgres.vectors import Rows, Version
from openmemory.service.corpora import Corpora
from openmemory.service.vocabularies import Vocabularies
from tests.service.conftest import Rooms, rooms_on
from tests.service.kept import corpus_of, ids_of


async def test_many_who_ask_at_once_what_is_not_known_read_it_once(
    database: Database, rooms: Rooms, scope: Scope, reads: list[int | None]
) -> None:
    corpora = Corpora(1 << 30)
    added = await rooms.memories.add(scope, Told("a brass lamp"))

    found = await asyncio.gather(*(corpus_of(database, corpora, scope) for _ in range(8)))

    assert [ids_of(one) for one in found] == [{added.id}] * 8
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

    found = await asyncio.gather(*(corpus_of(database, corpora, scope) for _ in range(4)))

    assert [len(corpus) for corpus in found] == [1] * 4
    assert reads == [None]


async def test_whoever_waits_for_anothers_reading_keeps_no_connection(
    logins: Logins, embedder: Embedder, names: Names, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_read, rows, version = asyncio.Semaphore(0), asyncio.Event(), vectors.rows, vectors.version

    async def noted(tx: TenantTx, *, shared: bool) -> Version:
        found = await version(tx, shared=shared)
        asked.release()
        return found

    async def held(tx: TenantTx, *, shared: bool) -> Rows:
        await may_read.wait()
        return await rows(tx, shared=shared)

    async with Database(logins.server, names, PoolLimits(most=2, connect_timeout_s=10)) as database:
        rooms = rooms_on(database, embedder, names, Corpora(0))
        added = await rooms.memories.add(scope, Told("a brass lamp"))
        await rooms.search.find(scope, Asked("lamp"))  # so that the vocabulary is known
        monkeypatch.setattr(vectors, "version", noted)
        monkeypatch.setattr(vectors, "rows", held)
        async with asyncio.TaskGroup() as group:
            questions = [group.create_task(rooms.search.find(scope, Asked("lamp"))) for _ in range(2)]
            for _ in questions:
                await asked.acquire()

            assert (await rooms.memories.get(scope, added.id)).content == "a brass lamp"
            may_read.set()

    for found in questions:
        assert [match.memory.id for match in found.result().matches] == [added.id]


async def test_where_a_reading_fails_another_who_waits_for_it_reads(
    database: Database, rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = await rooms.memories.add(scope, Told("a brass lamp"))
    corpora, begun, rows = Corpora(1 << 30), asyncio.Event(), vectors.rows

    async def left(tx: TenantTx, *, shared: bool) -> Rows:
        monkeypatch.setattr(vectors, "rows", rows)
        begun.set()
        await asyncio.Event().wait()
        return await rows(tx, shared=shared)

    monkeypatch.setattr(vectors, "rows", left)
    first = asyncio.create_task(corpus_of(database, corpora, scope))
    await begun.wait()
    second = asyncio.create_task(corpus_of(database, corpora, scope))
    await asyncio.sleep(0)
    first.cancel()

    assert ids_of(await second) == {added.id}


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
