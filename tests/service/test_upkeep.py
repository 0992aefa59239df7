"""What runs beside the requests outlives its own failures."""

import asyncio
from contextlib import suppress

from openmemory.postgres.database import Database
from openmemory.postgres.statements import Names
from openmemory.service.tenants import Tenants
from openmemory.service.upkeep import keep_alive


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
