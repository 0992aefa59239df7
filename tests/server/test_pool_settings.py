"""What an owner sets of the pool is what the server's pool has."""

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.settings import load


async def test_each_setting_of_the_pool_reaches_it(ready: Readied, embedder: Embedder) -> None:
    settings = load(
        environ={
            "OM_PG_POOL_MAX": "7",
            "OM_PG_POOL_IDLE_S": "41",
            "OM_PG_CONNECT_TIMEOUT_S": "3",
            "OM_STATEMENT_TIMEOUT_MS": "4321",
        }
    )

    async with application.open_services(settings, ready, embedder) as services:
        pool = services.tenants._database._pool
        async with pool.connection() as connection:
            shown = await (await connection.execute("SHOW statement_timeout")).fetchone()

    assert (pool.max_size, pool.max_idle, pool.timeout, shown) == (7, 41, 3, ("4321ms",))
