"""Batches of one tenant are stored one after the other; nothing else waits for them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.service.memories import Memories
from tests.factories import a_scope
from tests.service.waiting import somebody_waits

BATCH = [Told("the mill wheel turns", user_id="u"), Told("the ferry runs", user_id="u")]
OTHER = [Told("the harbour is closed", user_id="v"), Told("the bakery is open", user_id="v")]

Call = Callable[[Memories, Scope], Awaitable[object]]
IN_TURN: dict[str, Call] = {
    "batch": lambda memories, scope: memories.add_all(scope, OTHER),
    "partial batch": lambda memories, scope: memories.add_each(scope, OTHER),
    "forgetting a user": lambda memories, scope: memories.delete_user(scope, "v"),
}
AT_ONCE: dict[str, Call] = {
    "one memory": lambda memories, scope: memories.add(scope, OTHER[0]),
    "batch of one": lambda memories, scope: memories.add_all(scope, OTHER[:1]),
    "batch of another tenant": lambda memories, _: memories.add_all(a_scope(), BATCH),
    "forgetting a user of another tenant": lambda memories, _: memories.delete_user(a_scope(), "u"),
}


@pytest.mark.parametrize("call", IN_TURN.values(), ids=IN_TURN)
async def test_what_locks_many_memories_waits_for_the_batch_of_its_tenant(
    memories: Memories, database: Database, scope: Scope, call: Call
) -> None:
    await memories.add(scope, Told("the tide is out", user_id="v"))
    waiting: list[asyncio.Future[object]] = []

    async def meanwhile(*_: object) -> None:
        waiting.append(asyncio.ensure_future(call(memories, scope)))
        await somebody_waits(database)

    await memories.add_all(scope, BATCH, meanwhile)

    await waiting[0]


@pytest.mark.parametrize("call", AT_ONCE.values(), ids=AT_ONCE)
async def test_anything_else_is_done_while_a_batch_is_stored(memories: Memories, scope: Scope, call: Call) -> None:
    async def meanwhile(*_: object) -> None:
        await call(memories, scope)

    kept = await memories.add_all(scope, BATCH, meanwhile)

    assert [one.deduplicated for one in kept] == [False, False]
