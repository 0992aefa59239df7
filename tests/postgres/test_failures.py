"""The driver's errors in our words, without values; and rows that must fit their class."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from openmemory.app import Logins
from openmemory.errors import ConfigurationError, DatabaseConflict, DatabaseUnavailable, OpenMemoryError, Unprocessable
from openmemory.postgres.database import Database
from openmemory.postgres.direct import connected
from openmemory.postgres.failures import translated
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Names, Statement
from tests.factories import a_scope
from tests.postgres.databases import Place

SECRET = "s3cr3t"  # noqa: S105 -- what must not be said
NOBODY = {"host": "/nowhere", "user": "nobody", "password": SECRET, "connect_timeout": "2"}


@dataclass(frozen=True)
class _Pair:
    first: int
    second: int


def _pairs(sql: str) -> Statement[_Pair]:
    return Statement(f"test.{sql}", sql, _Pair, rows_of(_Pair))


def _nothing(sql: str) -> Statement[None]:
    return Statement(f"test.{sql}", sql, type(None), rows_of(type(None)))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS first",
        "SELECT 1 AS first, 2 AS second, 3 AS third",
        "SELECT 2 AS second, 1 AS first",
        "SELECT 1 AS first, 2 AS third",
    ],
)
async def test_columns_that_are_not_the_fields_of_the_class_are_a_type_error(database: Database, query: str) -> None:
    with pytest.raises(TypeError, match="_Pair has the fields"):
        async with database.tenant(a_scope()) as tx:
            await tx.all(_pairs(query))


async def test_columns_that_are_the_fields_make_the_values(database: Database) -> None:
    async with database.tenant(a_scope()) as tx:
        assert await tx.one(_pairs("SELECT 1 AS first, 2 AS second")) == _Pair(1, 2)
        assert await tx.one(_pairs("SELECT 1 AS first, 2 AS second WHERE false")) is None


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT '{SECRET}'::uuid",
        f"SELECT '{SECRET}'::int",
        f"SELECT '{SECRET}'::timestamptz",
        f"""SELECT '["{SECRET}'::jsonb""",
        f"SELECT '[{SECRET}]'::vector(3)",
        f"SELECT '{SECRET}'::bit(3)",
    ],
)
async def test_a_refused_value_is_not_repeated(database: Database, query: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        async with database.tenant(a_scope()) as tx:
            await tx.run(_nothing(query))

    assert SECRET not in refused.value.detail
    assert "SQLSTATE" in refused.value.detail


async def test_a_nul_in_a_text_is_the_clients_fault_and_not_repeated(database: Database) -> None:
    with pytest.raises(Unprocessable) as refused:
        async with database.tenant(a_scope()) as tx:
            await tx.run(_nothing("SELECT %(text)s::text"), text=f"{SECRET}\0")

    assert SECRET not in refused.value.detail


async def test_a_statement_that_takes_too_long_is_given_up(database: Database) -> None:
    hasty = _nothing("SELECT set_config('statement_timeout', '20', true)")

    async def work() -> None:
        async with database.tenant(a_scope()) as tx:
            await tx.run(hasty)
            await tx.run(_nothing("SELECT pg_sleep(30)"))

    with pytest.raises(DatabaseUnavailable, match="took too long"):
        await work()


async def test_a_postgresql_that_does_not_answer_in_time_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with database.tenant(a_scope()) as tx:
            monkeypatch.setattr(tx, "_patience_s", 0.01)
            await tx.run(_nothing("SELECT pg_sleep(9)"))

    with pytest.raises(DatabaseUnavailable, match=r"^PostgreSQL does not answer$"):
        await work()


async def test_a_time_limit_of_the_callers_own_is_not_called_postgresqls(database: Database) -> None:
    async def work() -> None:
        async with database.tenant(a_scope()), asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()


async def test_opening_that_is_cancelled_leaves_no_pool_at_work(logins: Logins, names: Names) -> None:
    for steps in range(40):
        database = Database(logins.server, names)
        opening = asyncio.create_task(database.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
            await database.close()

        assert database._pool.closed


async def test_a_violated_constraint_comes_through_for_the_statement_that_knows_it(database: Database) -> None:
    twice = _nothing("INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'u'), (%(tenant)s, 'u')")

    with pytest.raises(errors.UniqueViolation):
        async with database.tenant(a_scope()) as tx:
            await tx.run(twice)


async def test_no_caller_can_bind_another_tenant(database: Database) -> None:
    scope, other = a_scope(), a_scope()

    async with database.tenant(scope) as tx:
        seen = await tx.one(
            _pairs("SELECT (%(tenant)s::text = %(mine)s)::int AS first, 0 AS second"),
            tenant=other.tenant,
            mine=scope.tenant,
        )

    assert seen == _Pair(1, 0)


async def test_a_server_that_cannot_be_reached_is_unavailable_and_its_password_not_said() -> None:
    with pytest.raises(DatabaseUnavailable) as refused, connected(NOBODY):
        pass

    assert SECRET not in refused.value.detail


async def test_a_database_without_the_extension_is_refused_and_nothing_stays_open(place: Place) -> None:
    database = Database(place.logins.server, place.names)

    with pytest.raises(ConfigurationError, match="openmemory migrate"):
        await database.open()

    assert database._pool.closed


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (errors.DeadlockDetected("deadlock"), DatabaseConflict),
        (errors.SerializationFailure("could not serialize"), DatabaseConflict),
        (errors.AdminShutdown("terminating"), DatabaseUnavailable),
        (errors.TooManyConnections("too many"), DatabaseUnavailable),
        (errors.DiskFull("no space"), DatabaseUnavailable),
        (errors.LockNotAvailable("lock"), DatabaseUnavailable),
        (errors.QueryCanceled("canceled"), DatabaseUnavailable),
        (psycopg.InterfaceError("the connection is closed"), DatabaseUnavailable),
    ],
)
def test_what_the_server_does_becomes_a_word_of_the_domain(
    raised: psycopg.Error, becomes: type[OpenMemoryError]
) -> None:
    with pytest.raises(becomes), translated():
        raise raised


def test_what_went_wrong_first_is_told_where_a_pipeline_cannot_be_left_for_it() -> None:
    with pytest.raises(DatabaseUnavailable, match="the disk is full"), translated():
        leave_a_pipeline()


@pytest.mark.parametrize(
    "raised",
    [
        psycopg.OperationalError("cannot exit pipeline mode while busy"),
        psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        PoolTimeout("couldn't get a connection after 2.00 sec"),
        PoolClosed("the pool 'pool-1' is already closed"),
    ],
    ids=lambda raised: type(raised).__name__ + str(len(str(raised))),
)
def test_the_drivers_own_words_are_for_no_client(raised: Exception) -> None:
    with pytest.raises(DatabaseUnavailable, match="PostgreSQL") as caught, translated():
        raise raised

    assert str(raised) not in caught.value.detail


def test_postgresqls_own_words_are_told() -> None:
    with pytest.raises(DatabaseUnavailable, match="terminating connection"), translated():
        raise errors.AdminShutdown("terminating connection due to administrator command")


def leave_a_pipeline() -> None:
    """Fail as psycopg does when it leaves a pipeline in which something failed."""
    try:
        raise errors.DiskFull("the disk is full")
    finally:
        raise psycopg.OperationalError("cannot exit pipeline mode while busy")


@pytest.mark.parametrize(
    "refused",
    [
        errors.InsufficientPrivilege("permission denied for table openmemory_memories"),
        errors.UndefinedTable('relation "public.openmemory_vectors" does not exist'),
    ],
)
def test_tables_and_rights_that_somebody_took_are_named_with_the_remedy(refused: psycopg.Error) -> None:
    remedy = "`openmemory migrate` puts tables and rights right"
    with pytest.raises(DatabaseUnavailable, match=remedy) as caught, translated():
        raise refused

    assert str(refused) in caught.value.detail


async def test_a_row_that_a_policy_refuses_is_no_missing_right(database: Database) -> None:
    theirs = _nothing("INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('another', 'x')")

    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        async with database.tenant(a_scope()) as tx:
            await tx.run(theirs)
