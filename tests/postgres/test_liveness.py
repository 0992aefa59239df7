"""Whether PostgreSQL is there is told at once also while requests have every connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import anyio.lowlevel
import psycopg
import pytest

from openmemory.app import Logins
from openmemory.errors import DatabaseUnavailable
from openmemory.postgres.database import Database
from openmemory.postgres.liveness import Pulse
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Names
from openmemory.service.tenants import Tenants
from tests.conftest import Server, a_database
from tests.factories import a_scope

FOREVER_S = 300


@pytest.fixture
async def small(logins: Logins, names: Names) -> AsyncIterator[Database]:
    """Yield a pool of two connections, for which one would wait as long as the test."""
    async with Database(logins.server, names, PoolLimits(most=2, connect_timeout_s=FOREVER_S)) as opened:
        yield opened


async def all_lent(database: Database, held: AsyncExitStack) -> None:
    """Take both connections until `held` is left."""
    for _ in range(2):
        await held.enter_async_context(database.tenant(a_scope()))


async def test_a_full_pool_makes_nobody_wait_who_asks_for_a_sign_of_life(small: Database) -> None:
    tenants = Tenants(small)
    async with AsyncExitStack() as held:
        await all_lent(small, held)
        waiting = asyncio.create_task(tenants.admit("somebody who waits"))
        await asyncio.sleep(0)

        for _ in range(3):
            await tenants.ping()
        await asyncio.gather(*(tenants.ping() for _ in range(50)))

        assert not waiting.done()
    await waiting


async def test_a_connection_that_died_is_made_again(small: Database, logins: Logins) -> None:
    async with AsyncExitStack() as held:
        await all_lent(small, held)
        await small.ping()
        kept = small._pulse._kept
        assert kept is not None
        with psycopg.connect(autocommit=True, **logins.owner) as owner:  # type: ignore[arg-type]  # all text
            owner.execute("SELECT pg_terminate_backend(%s, 5000)", [kept.info.backend_pid])

        await small.ping()

        assert small._pulse._kept is not None


async def test_a_sign_of_life_that_comes_after_the_end_leaves_no_connection_open(logins: Logins) -> None:
    pulse = Pulse(logins.server)
    await pulse.feel()
    late = [asyncio.create_task(pulse.feel()) for _ in range(3)]
    await asyncio.sleep(0)

    await pulse.close()
    await asyncio.gather(*late)

    assert pulse._kept is None


async def test_a_postgresql_that_lets_nobody_in_is_away_though_the_pool_is_full(
    postgres: Server, worker_id: str, logins: Logins, names: Names
) -> None:
    name = f"om_pulse_{worker_id}"
    own = a_database(postgres, name)
    with psycopg.connect(autocommit=True, **own.owner) as owner:  # type: ignore[arg-type]  # all text
        owner.execute("CREATE EXTENSION vector")
    database = Database(own.owner, names, PoolLimits(most=2))
    async with database, AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(database.registry())
        with psycopg.connect(autocommit=True, **logins.owner) as owner:  # type: ignore[arg-type]  # all text
            owner.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())

        with pytest.raises(DatabaseUnavailable) as refused:
            await database.ping()

        assert name not in str(refused.value)


async def test_a_postgresql_without_room_for_one_more_is_there(
    postgres: Server, worker_id: str, logins: Logins, names: Names
) -> None:
    name = f"om_room_{worker_id}"
    own = a_database(postgres, name)
    with psycopg.connect(autocommit=True, **own.owner) as owner:  # type: ignore[arg-type]  # all text
        owner.execute("CREATE EXTENSION vector")
        owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 2'.encode())
    database = Database(own.server, names, PoolLimits(most=2))
    async with database, AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(database.registry())

        await database.ping()


async def test_a_pool_without_a_connection_is_not_ready_though_postgresql_has_no_room(
    postgres: Server, worker_id: str, logins: Logins, names: Names
) -> None:
    name = f"om_none_{worker_id}"
    own = a_database(postgres, name)
    with psycopg.connect(autocommit=True, **own.owner) as owner:  # type: ignore[arg-type]  # all text
        owner.execute("CREATE EXTENSION vector")
    async with Database(own.server, names, PoolLimits(most=4, connect_timeout_s=FOREVER_S)) as database:
        with psycopg.connect(autocommit=True, **logins.owner) as owner:  # type: ignore[arg-type]  # all text
            owner.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0'.encode())
            owner.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
                [name, own.server_user],
            )
        tenants = Tenants(database)
        waiting = asyncio.create_task(tenants.admit("somebody who waits"))
        async with asyncio.timeout(FOREVER_S):
            while not database._pool.get_stats()["requests_waiting"]:
                await anyio.lowlevel.checkpoint()

        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await tenants.ping()

        waiting.cancel()
        await asyncio.wait({waiting})
