"""Connections of a pool go from tenant to tenant: nothing of the one before is left on them, whatever happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from openmemory.app import Logins
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseUnavailable, OpenMemoryError, Overloaded
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Call, Names, Statement
from tests.factories import a_scope, a_tenant
from tests.tenancy.connections import assert_clean

_LOCKS = count(1)


@dataclass(frozen=True)
class _Seen:
    role: str
    tenant: str | None
    searched: str


@dataclass(frozen=True)
class _User:
    tenant_id: str
    user_id: str


_WHO = Statement(
    "pool.who",
    "SELECT current_user::text AS role, current_setting('app.current_tenant', true) AS tenant,"
    " current_setting('search_path') AS searched",
    _Seen,
    rows_of(_Seen),
)
_ADD_USER = Statement(
    "pool.add_user",
    "INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, %(user)s) ON CONFLICT DO NOTHING",
    type(None),
    rows_of(type(None)),
)
_ADD_TWICE = Statement(
    "pool.add_twice",
    "INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'twin'), (%(tenant)s, 'twin')",
    type(None),
    rows_of(type(None)),
)
_ALL_USERS = Statement("pool.all_users", "SELECT tenant_id, user_id FROM {users}", _User, rows_of(_User))
_WAIT = Statement("pool.wait", "SELECT pg_advisory_xact_lock(%(lock)s)", type(None), rows_of(type(None)))
_SLEEP = Statement("pool.sleep", "SELECT pg_sleep(20)", type(None), rows_of(type(None)))


@pytest.fixture(scope="session")
async def singles(logins: Logins, names: Names) -> AsyncIterator[dict[bool, Database]]:
    """Yield pools of one connection, which every transaction therefore shares, by whether a pooler is before it."""
    limits = PoolLimits(most=1, connect_timeout_s=10)
    async with (
        Database(logins.server, names, limits, 300, behind_pooler=True) as pooled,
        Database(logins.server, names, limits, 300, behind_pooler=False) as direct,
    ):
        yield {True: pooled, False: direct}


@pytest.fixture(params=[True, False], ids=["behind a pooler", "direct"])
def single(request: pytest.FixtureRequest, singles: dict[bool, Database]) -> Database:
    """Return one of the two pools."""
    return singles[request.param]


@pytest.fixture(scope="session")
async def pair(logins: Logins, names: Names) -> AsyncIterator[Database]:
    """Yield a pool of two connections."""
    async with Database(logins.server, names, PoolLimits(most=2, connect_timeout_s=10)) as opened:
        yield opened


async def test_the_tenant_and_the_role_are_gone_with_the_transaction(single: Database, names: Names) -> None:
    scope = a_scope()

    async with single.tenant(scope) as tx:
        seen = await tx.one(_WHO)

    assert seen == _Seen(names.app_role, scope.tenant, "public, public, pg_temp")
    await assert_clean(single)


async def test_the_registry_door_opens_no_tenant(single: Database, names: Names) -> None:
    async with single.tenant(a_scope()) as tx:
        await tx.run(_ADD_USER, user="someone")

    async with single.registry() as registry:
        seen = await registry.one(_WHO)

    assert seen is not None
    assert seen.role != names.app_role
    assert not seen.tenant


async def test_a_transaction_that_only_reads_cannot_write(single: Database) -> None:
    async def work() -> None:
        async with single.tenant(a_scope(), read_only=True) as tx:
            await tx.run(_ADD_USER, user="someone")

    with pytest.raises((OpenMemoryError, psycopg.errors.ReadOnlySqlTransaction)):
        await work()

    await assert_clean(single)


async def test_a_violated_constraint_leaves_nothing_on_the_connection(single: Database) -> None:
    scope = a_scope()

    async def work() -> None:
        async with single.tenant(scope) as tx:
            await tx.run(_ADD_USER, user="before")
            await tx.run(_ADD_TWICE)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await work()

    await assert_clean(single)
    async with single.tenant(scope) as tx:
        assert await tx.all(_ALL_USERS) == []


async def test_a_statement_that_takes_too_long_leaves_nothing_on_the_connection(single: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="too long"):
        async with single.tenant(a_scope()) as tx:
            await tx.run(_SLEEP)

    await assert_clean(single)


async def test_an_exception_in_the_block_rolls_back_and_leaves_nothing(single: Database) -> None:
    scope = a_scope()

    async def work() -> None:
        async with single.tenant(scope) as tx:
            await tx.run(_ADD_USER, user="half-way")
            raise LookupError

    with pytest.raises(LookupError):
        await work()

    await assert_clean(single)
    async with single.tenant(scope) as tx:
        assert await tx.all(_ALL_USERS) == []


async def test_a_swallowed_error_cannot_commit_the_rest_of_the_block(single: Database) -> None:
    scope = a_scope()

    async with single.tenant(scope) as tx:
        await tx.run(_ADD_USER, user="before")
        with suppress(psycopg.errors.UniqueViolation):
            await tx.run(_ADD_TWICE)

    await assert_clean(single)
    async with single.tenant(scope) as tx:
        assert await tx.all(_ALL_USERS) == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_statement_leaves_nothing_on_the_connection(
    single: Database, logins: Logins, times: int
) -> None:
    scope, lock = a_scope(), 7_000_000 + next(_LOCKS)

    async def work() -> None:
        async with single.tenant(scope) as tx:
            await tx.run(_ADD_USER, user="half-way")
            await tx.run(_WAIT, lock=lock)

    async with await AsyncConnection.connect(autocommit=True, **logins.server) as watcher:  # type: ignore[arg-type]  # all text
        await watcher.execute("SELECT pg_advisory_lock(%s)", [lock])
        task = asyncio.create_task(work())
        await _until_somebody_waits(watcher, lock)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

        await assert_clean(single)
        async with single.tenant(scope) as tx:
            assert await tx.all(_ALL_USERS) == []


async def test_cancelling_at_any_step_leaves_nothing_on_the_connection(single: Database) -> None:
    for steps in range(30):

        async def work() -> None:
            async with single.tenant(a_scope()) as tx:
                await tx.run(_ADD_USER, user="half-way")
                await tx.all(_ALL_USERS)

        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        await assert_clean(single)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=12))
async def test_cancelling_many_at_once_loses_no_connection(pair: Database, steps: list[int]) -> None:
    async def work() -> None:
        async with pair.tenant(a_scope(), read_only=True) as tx:
            await tx.all(_ALL_USERS)

    async def at_once() -> None:
        who = Call(_WHO, {})
        await pair.read_at_once(a_scope(), who, who)

    tasks = [asyncio.create_task(at_once() if place % 2 else work()) for place in range(len(steps))]
    for step in range(max(steps) + 1):
        await asyncio.sleep(0)
        for task, last in zip(tasks, steps, strict=True):
            if step == last:
                task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert not [one for one in outcomes if isinstance(one, Exception)]
    async with pair.tenant(a_scope()), pair.tenant(a_scope()) as tx:
        assert await tx.all(_ALL_USERS) == []


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcd"), st.booleans()), min_size=2, max_size=16))
async def test_tenants_that_take_turns_on_two_connections_see_only_their_own_rows(
    pair: Database, steps: list[tuple[int, str, bool]]
) -> None:
    tenants = [a_tenant() for _ in range(5)]

    async def step(place: int, user: str, fails: bool) -> set[tuple[str, str]]:
        async with pair.tenant(Scope(tenants[place])) as tx:
            before = {(row.tenant_id, row.user_id) for row in await tx.all(_ALL_USERS)}
            await tx.run(_ADD_USER, user=user)
            seen = {(row.tenant_id, row.user_id) for row in await tx.all(_ALL_USERS)}
            assert seen >= before | {(tenants[place], user)}
            if fails:
                raise LookupError
            return seen

    outcomes = await asyncio.gather(*(step(*one) for one in steps), return_exceptions=True)

    assert not [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, LookupError)]
    for (place, _, _), seen in zip(steps, outcomes, strict=True):
        if isinstance(seen, set):
            told = {(tenants[place], user) for other, user, _ in steps if other == place}
            assert seen <= told
    for place, tenant in enumerate(tenants):
        async with pair.tenant(Scope(tenant)) as tx:
            kept = {(row.tenant_id, row.user_id) for row in await tx.all(_ALL_USERS)}
        assert kept == {(tenant, user) for other, user, fails in steps if other == place and not fails}


async def _until_somebody_waits(watcher: AsyncConnection, lock: int) -> None:
    for _ in range(10_000):
        cursor = await watcher.execute(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s::int8::oid AND NOT granted", [lock]
        )
        if cursor.rowcount:
            return
    pytest.fail("the statement did not start")


async def test_a_pool_of_which_all_connections_are_lent_says_so_and_does_not_call_the_database_away(
    logins: Logins, names: Names
) -> None:
    async with Database(logins.server, names, PoolLimits(most=1, connect_timeout_s=0.1)) as database:
        async with database.tenant(a_scope()):
            with pytest.raises(Overloaded, match=r"^all 1 connections \(OM_PG_POOL_MAX\) are at work"):
                await database.read(a_scope(), Call(_WHO, {}))

        assert await database.read(a_scope(), Call(_WHO, {}))
