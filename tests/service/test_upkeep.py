"""What runs beside the requests outlives its own failures."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from openmemory.app import Logins
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Names, Statement
from openmemory.service.idempotency import Idempotency
from openmemory.service.tenants import Tenants
from openmemory.service.upkeep import forget_keys, keep_alive
from tests.factories import a_tenant
from tests.service.conftest import HandClock


@dataclass(frozen=True)
class _Key:
    key: str


_KEYS = Statement("upkeep.keys", "SELECT key FROM {idempotency}", _Key, rows_of(_Key))


async def test_a_revival_that_fails_in_an_unknown_way_is_tried_again(names: Names) -> None:
    tried, tried_again = 0, asyncio.Event()

    def revive() -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OSError("no space left")
        loop.call_soon_threadsafe(tried_again.set)

    loop = asyncio.get_running_loop()
    never_opened = Database({"host": "/nowhere"}, names)
    running = asyncio.create_task(keep_alive(Tenants(never_opened), revive, every_s=0))
    async with asyncio.timeout(30):
        await tried_again.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_expired_keys_are_forgotten_once_the_database_is_there(
    database: Database, logins: Logins, names: Names
) -> None:
    tenant, clock = a_tenant(), HandClock()
    scope = await Tenants(database).admit(tenant)
    await Idempotency(database, clock).once(scope, "c", "k", b"d", _nothing, str)
    clock.advance(days=1, seconds=1)
    not_yet = Database(logins.server, names, PoolLimits(most=1))
    running = asyncio.create_task(forget_keys(Idempotency(not_yet, clock), every_s=0))
    await asyncio.sleep(0)

    async with not_yet, asyncio.timeout(30):
        while await _keys(database, scope):
            pass
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _nothing(_: object) -> None:
    return None


async def _keys(database: Database, scope: Scope) -> int:
    async with database.tenant(scope) as tx:
        return len(await tx.all(_KEYS))
