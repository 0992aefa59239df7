"""What a search found is recalled: written once and for each tenant, and none is lost or held up by another."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import exp
from uuid import UUID, uuid4

import pytest

from openmemory.app import Logins
from openmemory.core.memory import Asked
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseConflict
from openmemory.postgres import memories as rows
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Names
from openmemory.service.recalls import RECALL_BOOST, Recalls
from tests.factories import NOON, a_scope
from tests.service.conftest import Rooms
from tests.service.fading import ABOUT, a_memory
from tests.service.waiting import somebody_waits


async def test_recalls_are_written_once_however_often_a_memory_came_up(rooms: Rooms, scope: Scope) -> None:
    kept = await a_memory(rooms.memories, scope)
    for _ in range(4):
        await rooms.search.find(scope, Asked("mill wheel"))
    before = await rooms.memories.get(scope, kept.id)
    rooms.clock.advance(days=1)

    flushed = [await rooms.recalls.flush(), await rooms.recalls.flush()]

    after = await rooms.memories.get(scope, kept.id)
    assert before == kept, "a search must not write"
    assert flushed == [1, 0]
    assert after.salience == pytest.approx(0.8 * exp(-0.015) + RECALL_BOOST, abs=ABOUT)
    assert after.last_seen_at == NOON + timedelta(days=1)


async def test_recalls_of_several_tenants_reach_each_its_own(rooms: Rooms) -> None:
    scopes = [a_scope(), a_scope()]
    kept = [await a_memory(rooms.memories, one) for one in scopes]
    for one in scopes:
        await rooms.search.find(one, Asked("mill wheel"))

    assert await rooms.recalls.flush() == 2

    for one, memory in zip(scopes, kept, strict=True):
        assert (await rooms.memories.get(one, memory.id)).salience == pytest.approx(0.8 + RECALL_BOOST)


async def test_what_was_forgotten_meanwhile_is_no_trouble_to_a_flush(rooms: Rooms, scope: Scope) -> None:
    kept = await a_memory(rooms.memories, scope)
    await rooms.search.find(scope, Asked("mill wheel"))
    await rooms.memories.delete(scope, kept.id)

    assert await rooms.recalls.flush() == 0


async def test_what_a_flush_that_is_cancelled_has_not_written_waits_for_the_next(
    rooms: Rooms, database: Database, scope: Scope
) -> None:
    kept = await a_memory(rooms.memories, scope)
    await rooms.search.find(scope, Asked("mill wheel"))
    async with database.tenant(scope) as holding:
        assert await rows.get_for_update(holding, kept.id)
        flushing = asyncio.create_task(rooms.recalls.flush())
        await somebody_waits(database)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing

    assert await rooms.recalls.flush() == 1
    assert (await rooms.memories.get(scope, kept.id)).salience == pytest.approx(0.8 + RECALL_BOOST)


async def test_a_tenant_that_recalls_very_much_crowds_out_no_other(rooms: Rooms, scope: Scope) -> None:
    kept = await a_memory(rooms.memories, scope)
    greedy = a_scope()
    for _ in range(150):
        rooms.recalls.note(greedy, [uuid4() for _ in range(1_000)])
    rooms.recalls.note(scope, [kept.id])

    assert await rooms.recalls.flush() == 1


async def test_a_tenant_whose_flush_lost_against_another_transaction_holds_up_no_other(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, scope = a_scope(), a_scope()
    for one in (unlucky, scope):
        rooms.recalls.note(one, [(await a_memory(rooms.memories, one)).id])
    reinforce = rows.reinforce

    async def lost(tx: TenantTx, ids: Sequence[UUID], boost: float, now: datetime) -> int:
        if tx.scope == unlucky:
            raise DatabaseConflict("PostgreSQL gave another transaction way")
        return await reinforce(tx, ids, boost, now)

    monkeypatch.setattr(rows, "reinforce", lost)
    assert await rooms.recalls.flush() == 1

    monkeypatch.undo()
    assert await rooms.recalls.flush() == 1


async def test_a_recall_that_the_database_refuses_does_not_end_the_others(
    rooms: Rooms, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await a_memory(rooms.memories, scope)
    await rooms.search.find(scope, Asked("mill wheel"))
    with monkeypatch.context() as patched:
        patched.setattr(rooms.clock, "now", object())  # the driver refuses it
        assert await rooms.recalls.flush() == 0

    await rooms.search.find(scope, Asked("mill wheel"))
    assert await rooms.recalls.flush() == 1
    assert (await rooms.memories.get(scope, kept.id)).salience == pytest.approx(0.8 + RECALL_BOOST)


async def test_nothing_found_is_nothing_recalled(rooms: Rooms, database: Database, scope: Scope) -> None:
    recalls = Recalls(database, rooms.clock)

    recalls.note(scope, [])

    assert await recalls.flush() == 0


async def test_recalls_wait_for_a_connection_while_requests_have_all(logins: Logins, names: Names) -> None:
    async with Database(logins.server, names, PoolLimits(most=1, connect_timeout_s=0.1)) as database:
        recalls = Recalls(database, lambda: NOON)
        recalls.note(a_scope(), [uuid4()])
        recalls.note(a_scope(), [uuid4()])
        async with database.tenant(a_scope()):
            assert await recalls.flush() == 0

        assert recalls._count == 2
