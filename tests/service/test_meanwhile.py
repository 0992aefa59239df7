"""What a call finds when another one changed the memory between its own steps."""

import asyncio

import pytest

from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseConflict, MemoryNotFound
from openmemory.postgres import memories as rows
from openmemory.postgres.database import Database, TenantTx
from openmemory.service.memories import Memories
from tests.service.waiting import somebody_waits


async def test_a_memory_that_is_deleted_meanwhile_is_not_called_reinforced(
    memories: Memories, database: Database, scope: Scope
) -> None:
    added = await memories.add(scope, Told("the mill wheel turns"))

    async with database.tenant(scope) as deleting:
        await rows.delete(deleting, added.id)
        reinforcing = asyncio.create_task(memories.reinforce(scope, added.id))
        await somebody_waits(database)

    with pytest.raises(MemoryNotFound):
        await reinforcing


async def test_a_user_is_forgotten_though_a_piece_lost_against_another_transaction(
    memories: Memories, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memories.add_all(scope, [Told(f"fact {place}", user_id="u") for place in range(3)])
    delete_of_user, lost = rows.delete_of_user, [True, False, True, False]

    async def unlucky(tx: TenantTx, user: str, most: int) -> int:
        deleted = await delete_of_user(tx, user, most)
        if lost.pop(0):
            raise DatabaseConflict("PostgreSQL gave another transaction way")
        return deleted

    monkeypatch.setattr(rows, "delete_of_user", unlucky)
    monkeypatch.setattr("openmemory.service.memories._FORGOTTEN_AT_ONCE", 2)

    assert await memories.delete_user(scope, "u") == 3
    assert (await memories.totals(scope)).memories == 0
