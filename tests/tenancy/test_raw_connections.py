"""SQL as an attacker could inject it: on a plain connection of the login, as the tenants' role."""

import psycopg
import pytest
from psycopg import Connection, errors, sql

from openmemory.app import Logins
from openmemory.postgres.statements import Names
from tests.factories import a_tenant
from tests.tenancy.victims import Marks, rows_of, tenant_tables

_WRITABLE = """
SELECT attname FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
   AND attgenerated = '' AND attidentity = '' AND attname <> 'tenant_id'
"""
OPERATORS_TABLES = ("openmemory_meta", "openmemory_tenants", "openmemory_migrations")


@pytest.fixture
def app(login: Connection, names: Names) -> Connection:
    """Return the login's connection inside a transaction, as the tenants' role, with no tenant named."""
    login.execute("BEGIN")
    login.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(names.app_role)))
    return login


@pytest.fixture
async def tables(victim: Marks, owner: Connection) -> list[str]:
    """Return the tenant tables, in each of which the victim has rows."""
    return tenant_tables(owner)


def _as_tenant(app: Connection, tenant: str) -> None:
    app.execute("SELECT set_config('app.current_tenant', %s, true)", [tenant])


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


async def test_without_a_tenant_no_table_shows_a_row(app: Connection, tables: list[str]) -> None:
    assert {table: _count(app, table) for table in tables} == dict.fromkeys(tables, 0)


@pytest.mark.parametrize("tenant", ["", "\t", "%", "*", "tenant_id", "' OR true --"])
async def test_a_tenant_that_is_no_name_shows_no_row(app: Connection, tables: list[str], tenant: str) -> None:
    _as_tenant(app, tenant)

    assert {table: _count(app, table) for table in tables} == dict.fromkeys(tables, 0)


async def test_a_tenant_sees_its_own_rows_and_no_others(
    app: Connection, victim: Marks, tables: list[str], logins: Logins
) -> None:
    _as_tenant(app, victim.tenant)

    seen = {table: _count(app, table) for table in tables}

    assert seen == {table: len(rows) for table, rows in rows_of(logins.owner, victim.tenant).items()}
    assert all(seen.values())


async def test_without_a_tenant_nothing_can_be_written(app: Connection, victim: Marks, tables: list[str]) -> None:
    for table in tables:
        changed = app.execute(sql.SQL("UPDATE {} SET tenant_id = tenant_id").format(sql.Identifier(table))).rowcount
        deleted = app.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table))).rowcount
        assert (table, changed, deleted) == (table, 0, 0)


async def test_a_tenant_cannot_insert_rows_of_another(
    app: Connection, victim: Marks, tables: list[str], owner: Connection
) -> None:
    _as_tenant(app, victim.tenant)

    for table in tables:
        columns = [str(name) for (name,) in owner.execute(_WRITABLE, [table])]
        copy = sql.SQL("INSERT INTO {table} (tenant_id, {columns}) SELECT %s, {columns} FROM {table}").format(
            table=sql.Identifier(table), columns=sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app.transaction():
            app.execute(copy, [a_tenant()])


async def test_a_tenant_cannot_give_its_rows_to_another(app: Connection, victim: Marks, tables: list[str]) -> None:
    _as_tenant(app, victim.tenant)

    for table in tables:
        given = sql.SQL("UPDATE {} SET tenant_id = %s").format(sql.Identifier(table))
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app.transaction():
            app.execute(given, [a_tenant()])


async def test_a_tenant_cannot_change_or_delete_rows_of_another(
    app: Connection, victim: Marks, tables: list[str], logins: Logins
) -> None:
    before = rows_of(logins.owner, victim.tenant)
    _as_tenant(app, a_tenant())

    touched = {}
    for table in tables:
        of_theirs = sql.SQL(" WHERE tenant_id = {} OR true").format(sql.Literal(victim.tenant))
        name = sql.Identifier(table)
        touched[table] = (
            app.execute(sql.SQL("UPDATE {} SET tenant_id = tenant_id").format(name) + of_theirs).rowcount,
            app.execute(sql.SQL("DELETE FROM {}").format(name) + of_theirs).rowcount,
        )
    app.execute("COMMIT")

    assert touched == dict.fromkeys(tables, (0, 0))
    assert rows_of(logins.owner, victim.tenant) == before


async def test_an_upsert_cannot_reach_a_row_of_another(app: Connection, victim: Marks, logins: Logins) -> None:
    before = rows_of(logins.owner, victim.tenant)
    _as_tenant(app, a_tenant())
    upsert = (
        "INSERT INTO openmemory_users (tenant_id, user_id) VALUES (%s, %s)"
        " ON CONFLICT (tenant_id, user_id) DO UPDATE SET summary = 'taken over'"
    )

    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(upsert, [victim.tenant, victim.user])

    assert rows_of(logins.owner, victim.tenant) == before


async def test_a_merge_cannot_reach_a_row_of_another(app: Connection, victim: Marks, logins: Logins) -> None:
    before = rows_of(logins.owner, victim.tenant)
    _as_tenant(app, a_tenant())
    merge = (
        "MERGE INTO openmemory_users u USING (VALUES (%s, %s)) AS g (tenant_id, user_id)"
        " ON u.tenant_id = g.tenant_id AND u.user_id = g.user_id WHEN MATCHED THEN DELETE"
    )

    assert app.execute(merge, [victim.tenant, victim.user]).rowcount == 0

    app.execute("COMMIT")
    assert rows_of(logins.owner, victim.tenant) == before


@pytest.mark.parametrize("table", OPERATORS_TABLES)
@pytest.mark.parametrize("statement", ["SELECT FROM {}", "DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES"])
def test_the_operators_tables_are_closed(app: Connection, table: str, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement.format(table).encode())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE ROLE mine",
        "ALTER EXTENSION vector UPDATE",
        "ALTER TABLE openmemory_memories DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE openmemory_memories NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE openmemory_memories OWNER TO CURRENT_USER",
        "CREATE POLICY mine ON openmemory_memories USING (true)",
        "ALTER POLICY tenant_isolation ON openmemory_memories USING (true)",
        "DROP POLICY tenant_isolation ON openmemory_memories",
        "DROP TABLE openmemory_users",
        "TRUNCATE openmemory_users",
        "CREATE TRIGGER mine BEFORE UPDATE ON openmemory_users"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "SET LOCAL session_replication_role = replica",
        "COPY openmemory_users TO PROGRAM 'cat'",
        "COPY openmemory_users TO '/tmp/openmemory-users'",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT last_value FROM openmemory_memories_seq_seq",
        "SELECT setval('openmemory_memories_seq_seq', 1)",
        "SELECT nextval('openmemory_memories_seq_seq')",
        "SELECT passwd FROM pg_shadow",
    ],
)
def test_the_tenants_role_may_not(app: Connection, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement.encode())


def test_copy_into_a_tenant_table_is_refused(app: Connection, owner: Connection) -> None:
    _as_tenant(app, a_tenant())

    for table in tenant_tables(owner):
        copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
        with pytest.raises(errors.FeatureNotSupported), app.transaction(), app.cursor().copy(copy):
            pass


async def test_row_security_off_is_an_error_and_no_way_around(app: Connection, tables: list[str]) -> None:
    app.execute("SET LOCAL row_security = off")

    for table in tables:
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app.transaction():
            _count(app, table)


async def test_statistics_show_no_values_of_any_tenant(app: Connection, owner: Connection, tables: list[str]) -> None:
    for table in tables:
        owner.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))

    shown = app.execute("SELECT tablename, attname FROM pg_stats WHERE tablename = ANY (%s)", [tables]).fetchall()

    assert shown == []


async def test_a_tenant_cannot_read_what_other_sessions_run(app: Connection, logins: Logins, victim: Marks) -> None:
    other = psycopg.connect(autocommit=True, **logins.server)  # type: ignore[arg-type]  # libpq's keywords are text
    with other:
        other.execute("SELECT %s::text", [victim.word])
        running = f"SELECT '{victim.word}'"
        other.execute(running.encode())

        seen = app.execute("SELECT coalesce(query, '') FROM pg_stat_activity").fetchall()

    assert not [query for (query,) in seen if victim.word in str(query)]


async def test_the_login_itself_sees_no_row_of_any_tenant(login: Connection, victim: Marks, tables: list[str]) -> None:
    login.execute("BEGIN; SET LOCAL ROLE openmemory_app")
    _as_tenant(login, a_tenant())
    login.execute("RESET ROLE")

    for table in tables:
        with pytest.raises(errors.InsufficientPrivilege), login.transaction():
            _count(login, table)
