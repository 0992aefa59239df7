"""Users whose own tenant is not that of the memories: told, and kept."""

from psycopg import Connection

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, ORDINARY, A, B, C, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

ELSEWHERE = "users: it has memories in a tenant where it has no row; kept in both"


def add(connection: Connection, column: str, *tables: str) -> None:
    """Give old tables a column of names."""
    for table in tables:
        connection.execute(f"ALTER TABLE openmemory_{table} ADD {column} text DEFAULT 'default'".encode())


def users_of_two_tenants(connection: Connection) -> None:
    """Write users with a row in another tenant than that of their memories, and some with rows where they belong."""
    connection.execute("ALTER TABLE openmemory_users DROP CONSTRAINT openmemory_users_pkey")
    add(connection, "tenant_id", "memories", "users")
    for id_, user, tenant in ((A, "ada", "acme"), (B, "ben", "acme"), (C, "cleo", "default")):
        remember(connection, id_, user_id=user, tenant_id=tenant)
    users = [("default", "ada"), ("acme", "ben"), ("default", "ben"), ("default", "cleo"), ("acme", "fay")]
    query = "INSERT INTO openmemory_users (tenant_id, user_id, summary) VALUES (%s, %s, 'is kind')"
    connection.cursor().executemany(query, users)


def test_a_user_with_memories_in_a_tenant_without_a_row_of_it_is_told_and_kept_in_both(odd: Place) -> None:
    with odd.owner() as connection:
        users_of_two_tenants(connection)
        found = look(odd.logins.owner, odd.names)
        report = upgrade(odd.logins.owner, odd.names, ORDINARY)
        users = connection.execute("SELECT tenant_id, user_id, summary FROM openmemory_users ORDER BY 1, 2").fetchall()
        noted = connection.execute("SELECT tenant_id, id, original FROM openmemory_row_quarantine").fetchall()

    assert found.kept_back(DIMENSION) == report.set_aside == {ELSEWHERE: 1, "vectors: no value": 3}
    assert found.examples[ELSEWHERE] == report.examples[ELSEWHERE] == "ada"
    assert users == [
        ("acme", "ada", None),
        ("acme", "ben", "is kind"),
        ("acme", "fay", "is kind"),
        ("default", "ada", "is kind"),
        ("default", "ben", "is kind"),
        ("default", "cleo", "is kind"),
    ]
    ((tenant, name, original),) = noted
    assert (tenant, name, original["tenant_id"], original["summary"]) == ("default", "ada", "default", "is kind")


def test_users_of_two_tenants_are_told_where_users_become_tenants_and_by_psql(odd: Place) -> None:
    plan = Plan(DIMENSION, "rest", tenant_from_user=True)
    with odd.owner() as connection:
        users_of_two_tenants(connection)
        foretold = look(odd.logins.owner, odd.names, plan).kept_back(DIMENSION)
    said = [psql(odd, script(odd.logins.owner, odd.names, plan, step)).stderr for step in STEPS[:2]]

    assert foretold == upgrade(odd.logins.owner, odd.names, plan).set_aside
    assert foretold[ELSEWHERE] == 1
    assert f"set aside: 1 ({ELSEWHERE}), such as ada" in said[1]
