"""What is read or written in one round trip stands behind the same walls and leaves nothing on the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest

from openmemory.app import Logins
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseUnavailable, OpenMemoryError
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Call, Names, Statement
from tests.factories import a_scope
from tests.tenancy.connections import assert_clean


@dataclass(frozen=True)
class _Seen:
    role: str
    tenant: str | None
    searched: str
    read_only: str
    timeout: str


@dataclass(frozen=True)
class _User:
    tenant_id: str
    user_id: str


def _call(query: str, row: type) -> Call[object]:
    return Call(Statement(f"at_once.{query}", query, row, rows_of(row)), {})


WHO = _call(
    "SELECT current_user::text AS role, current_setting('app.current_tenant', true) AS tenant,"
    " current_setting('search_path') AS searched, current_setting('transaction_read_only') AS read_only,"
    " current_setting('statement_timeout') AS timeout",
    _Seen,
)
USERS = _call("SELECT tenant_id, user_id FROM {users}", _User)
ADD = _call(
    "INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'new') RETURNING tenant_id, user_id",
    _User,
)
ADD_AND_FAIL = _call(
    "WITH added AS (INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'other') RETURNING user_id)"
    " SELECT user_id AS tenant_id, (1 / (length(user_id) - 5))::text AS user_id FROM added",
    _User,
)
ADD_AND_SLEEP = _call(
    "WITH added AS (INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'other') RETURNING user_id)"
    " SELECT pg_sleep(20)::text AS tenant_id, user_id FROM added",
    _User,
)
FAIL = _call("SELECT tenant_id, (1 / 0)::text AS user_id FROM {users}", _User)
SLEEP = _call("SELECT pg_sleep(20)::text AS tenant_id, '' AS user_id", _User)


@pytest.fixture(params=[True, False], ids=["behind a pooler", "direct"])
async def single(request: pytest.FixtureRequest, logins: Logins, names: Names) -> AsyncIterator[Database]:
    """Yield a pool of one connection."""
    limits = PoolLimits(most=1, connect_timeout_s=10)
    async with Database(logins.server, names, limits, 300, behind_pooler=request.param) as database:
        yield database


async def _a_user_of(database: Database, scope: Scope) -> None:
    async with database.tenant(scope) as tx:
        statement = ADD.statement
        await tx.all(statement)


async def test_role_tenant_and_limits_hold_for_both_and_are_gone_after(single: Database, names: Names) -> None:
    scope = a_scope()

    (first,), (second,) = await single.read_at_once(scope, WHO, WHO)
    (alone,) = await single.read(scope, WHO)

    assert (
        first == second == alone == _Seen(names.app_role, scope.tenant, '"public", "public", "pg_temp"', "on", "300ms")
    )
    await assert_clean(single)


@pytest.mark.parametrize("name", ["o'brien", 'a"b', "per%cent", "%s", "back\\slash", "'; RESET ROLE; --", "日本"])
async def test_a_tenant_of_any_name_sees_its_own_rows_alone(single: Database, name: str) -> None:
    own, other = Scope(f"{name} {a_scope().tenant}"), a_scope()
    for scope in (own, other):
        await _a_user_of(single, scope)

    seen, again = await single.read_at_once(own, USERS, USERS)

    assert seen == again == await single.read(own, USERS) == [_User(own.tenant, "new")]


async def test_nothing_is_written(single: Database) -> None:
    with pytest.raises((OpenMemoryError, psycopg.errors.ReadOnlySqlTransaction)):
        await single.read_at_once(a_scope(), USERS, ADD)
    with pytest.raises((OpenMemoryError, psycopg.errors.ReadOnlySqlTransaction)):
        await single.read(a_scope(), ADD)

    await assert_clean(single)


async def test_an_error_in_either_leaves_nothing_on_the_connection(single: Database) -> None:
    scope = a_scope()
    await _a_user_of(single, scope)

    for first, second in ((FAIL, USERS), (USERS, FAIL)):
        with pytest.raises((OpenMemoryError, psycopg.errors.DivisionByZero)):
            await single.read_at_once(scope, first, second)

        await assert_clean(single)


async def test_a_statement_that_takes_too_long_leaves_nothing_on_the_connection(single: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="too long"):
        await single.read_at_once(a_scope(), USERS, SLEEP)

    await assert_clean(single)


async def test_cancelling_at_any_step_leaves_nothing_on_the_connection(single: Database) -> None:
    for steps in range(20):
        task = asyncio.create_task(single.read_at_once(a_scope(), USERS, WHO))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        await assert_clean(single)


async def test_a_connection_that_died_in_the_pool_is_replaced(single: Database, logins: Logins) -> None:
    async with single._pool.connection() as connection:
        backend = connection.info.backend_pid
    with psycopg.connect(autocommit=True, **logins.owner) as owner:  # type: ignore[arg-type]  # all text
        owner.execute("SELECT pg_terminate_backend(%s)", [backend])

    (seen,), _ = await single.read_at_once(a_scope(), WHO, USERS)

    assert isinstance(seen, _Seen)


async def test_a_write_works_as_the_tenant_and_leaves_nothing_on_the_connection(single: Database, names: Names) -> None:
    scope = a_scope()

    (seen,) = await single.write_at_once(scope, WHO)

    assert seen == _Seen(names.app_role, scope.tenant, '"public", "public", "pg_temp"', "off", "300ms")
    await assert_clean(single)


@pytest.mark.parametrize("name", ["o'brien", 'a"b', "per%cent", "%s", "back\\slash", "'; RESET ROLE; --", "日本"])
async def test_what_is_written_at_once_is_committed_and_belongs_to_the_tenant_of_any_name(
    single: Database, name: str
) -> None:
    own, other = Scope(f"{name} {a_scope().tenant}"), a_scope()

    written = await single.write_at_once(own, ADD)

    assert written == [_User(own.tenant, "new")]
    assert (await single.read_at_once(own, USERS, USERS))[0] == written
    assert (await single.read_at_once(other, USERS, USERS))[0] == []


async def test_a_tenant_cannot_write_at_once_for_another(single: Database) -> None:
    own, other = a_scope(), a_scope()
    theirs = _call(f"INSERT INTO {{users}} (tenant_id, user_id) VALUES ('{other.tenant}', 'x')", _User)

    with pytest.raises((OpenMemoryError, psycopg.errors.InsufficientPrivilege)):
        await single.write_at_once(own, theirs)

    assert (await single.read_at_once(other, USERS, USERS))[0] == []
    await assert_clean(single)


async def test_a_write_that_fails_or_takes_too_long_changes_nothing(single: Database) -> None:
    scope = a_scope()
    await single.write_at_once(scope, ADD)

    for call in (ADD, ADD_AND_FAIL, ADD_AND_SLEEP):
        with pytest.raises((OpenMemoryError, psycopg.Error)):
            await single.write_at_once(scope, call)

        assert (await single.read_at_once(scope, USERS, USERS))[0] == [_User(scope.tenant, "new")]
        await assert_clean(single)


async def test_a_write_that_is_cancelled_at_any_step_is_whole_or_not_there(single: Database) -> None:
    for steps in range(20):
        scope = a_scope()
        task = asyncio.create_task(single.write_at_once(scope, ADD))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        await assert_clean(single)
        (found, _) = await single.read_at_once(scope, USERS, USERS)
        assert found in ([], [_User(scope.tenant, "new")])


async def test_a_write_takes_another_connection_where_one_died_in_the_pool(single: Database, logins: Logins) -> None:
    scope = a_scope()
    async with single._pool.connection() as connection:
        backend = connection.info.backend_pid
    with psycopg.connect(autocommit=True, **logins.owner) as owner:  # type: ignore[arg-type]  # all text
        owner.execute("SELECT pg_terminate_backend(%s)", [backend])

    assert await single.write_at_once(scope, ADD) == [_User(scope.tenant, "new")]
