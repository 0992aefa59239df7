"""Users, vectors and waypoints whose own tenant or project is not that of the memories: told, and kept."""

from dataclasses import replace

import pytest
from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.obstacles import refuse_obstacles
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, ORDINARY, A, B, C, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

BYTES = b"\x00\x00\x80?" * 4
ELSEWHERE = "users: it has memories in a tenant where it has no row; kept in both"


def add(connection: Connection, column: str, *tables: str) -> None:
    """Give old tables a column of names."""
    for table in tables:
        connection.execute(f"ALTER TABLE openmemory_{table} ADD {column} text DEFAULT 'default'".encode())


def vector(connection: Connection, id_: str, tenant: str, project: str | None = None, sector: str = "semantic") -> None:
    """Write an old vector with a tenant and a project of its own."""
    query = "INSERT INTO openmemory_vectors (id, sector, v, dim, tenant_id, project_id) VALUES (%s, %s, %s, 4, %s, %s)"
    connection.execute(query, [id_, sector, BYTES, tenant, project])


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


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_a_vector_with_another_tenant_or_project_than_its_memory_is_told_and_noted(odd: Place, by: str) -> None:
    with odd.owner() as connection:
        add(connection, "tenant_id", "memories", "vectors")
        add(connection, "project_id", "memories", "vectors")
        for id_, tenant in ((A, "default"), (B, "acme"), (C, "acme")):
            remember(connection, id_, tenant_id=tenant, project_id="p")
        vector(connection, A, "default", "p")
        vector(connection, A, "other", "q", "episodic")
        vector(connection, B, "default", "p")
        vector(connection, C, "acme", "q")
        vector(connection, C, "", None, "episodic")
        found = look(odd.logins.owner, odd.names)
        said = [
            psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step)).stderr
            for step in STEPS[: 3 if by == "psql" else 0]
        ]
        report = upgrade(odd.logins.owner, odd.names, ORDINARY)
        noted = connection.execute(
            "SELECT tenant_id, id, sector, original ->> 'tenant_id', original ->> 'project_id'"
            "  FROM openmemory_row_quarantine ORDER BY id, sector"
        ).fetchall()
        rows = connection.execute("SELECT count(embedding) FROM openmemory_vectors").fetchone()

    tenant = "vectors: its tenant is not that of its memory; kept with the memory"
    project = "vectors: its project is not that of its memory; kept with the memory"
    assert found.kept_back(DIMENSION) == report.set_aside == {tenant: 2, project: 1}
    assert found.examples == report.examples == {tenant: A, project: C}
    assert noted == [
        ("default", A, "episodic", "other", "q"),
        ("acme", B, "semantic", "default", "p"),
        ("acme", C, "semantic", "acme", "q"),
    ]
    assert rows == (5,)
    assert by != "psql" or f"set aside: 1 ({project}), such as {C}" in said[2]


def test_vectors_of_the_tenant_that_their_memories_get_are_not_noted(odd: Place) -> None:
    plan = Plan(DIMENSION, "acme")
    with odd.owner() as connection:
        add(connection, "tenant_id", "vectors")
        connection.execute("ALTER TABLE openmemory_vectors ADD project_id text")
        remember(connection, A)
        vector(connection, A, "acme")
        vector(connection, A, "default", sector="episodic")

    assert look(odd.logins.owner, odd.names, plan).kept_back(DIMENSION) == {}
    assert upgrade(odd.logins.owner, odd.names, plan).set_aside == {}


def test_a_waypoint_with_another_tenant_than_its_source_is_told_and_noted(odd: Place) -> None:
    with odd.owner() as connection:
        add(connection, "tenant_id", "memories", "waypoints")
        for id_ in (A, B, C):
            remember(connection, id_, tenant_id="acme")
        query = (
            "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight, tenant_id) VALUES (%s, %s, 'u', 1, %s)"
        )
        for source, target, tenant in ((A, B, "acme"), (B, C, "other"), (C, A, "")):
            connection.execute(query, [source, target, tenant])
        found = look(odd.logins.owner, odd.names)
        report = upgrade(odd.logins.owner, odd.names, ORDINARY)
        noted = connection.execute("SELECT tenant_id, original ->> 'tenant_id' FROM openmemory_row_quarantine")
        assert noted.fetchall() == [("acme", "other")]

    reason = "waypoints: its tenant is not that of its source; kept with the source"
    assert found.kept_back(DIMENSION) == report.set_aside == {reason: 1, "vectors: no value": 3}
    assert found.examples[reason] == report.examples[reason] == B


def test_tenants_that_no_request_can_bring_are_refused_by_the_files_for_psql_too(odd: Place) -> None:
    with odd.owner() as connection:
        add(connection, "tenant_id", "memories")
        remember(connection, A, tenant_id="x,y")
        for step in STEPS:
            with pytest.raises(ConfigurationError, match=r"1 tenants whose names no request may bring .*: 'x,y'\."):
                script(odd.logins.owner, odd.names, ORDINARY, step)
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'xy' WHERE tenant_id = 'x,y'")
    assert script(odd.logins.owner, odd.names, ORDINARY, STEPS[0])


def company_and_user(connection: Connection, user_of_company: str | None, tenant: str = "default") -> None:
    """Write a memory of the tenant `alice` and one of a user of that name, whose tenant is another."""
    add(connection, "tenant_id", "memories")
    remember(connection, A, user_id=user_of_company, tenant_id="alice")
    remember(connection, B, user_id="alice", tenant_id=tenant)


@pytest.mark.parametrize("user_of_company", ["bob", None])
def test_a_user_who_would_become_the_tenant_of_others_is_refused_by_name(
    odd: Place, user_of_company: str | None
) -> None:
    plan = Plan(DIMENSION, tenant_from_user=True)
    with odd.owner() as connection:
        company_and_user(connection, user_of_company)
        found = look(odd.logins.owner, odd.names, plan)

        with pytest.raises(ConfigurationError, match=r"would make tenants of users .*: 'alice' \(1 in all\)\."):
            refuse_obstacles(odd.logins.owner, replace(odd.names, dimension=DIMENSION), found, IndexChoice())
        with pytest.raises(ConfigurationError, match="'alice'"):
            script(odd.logins.owner, odd.names, plan, STEPS[0])
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'alice & co' WHERE tenant_id = 'alice'")
        assert look(odd.logins.owner, odd.names, plan).joined_users == ()
    assert look(odd.logins.owner, odd.names, ORDINARY).joined_users == ()


@pytest.mark.parametrize(("user_of_company", "tenant"), [("alice", "default"), ("bob", "acme")])
def test_a_user_who_is_the_tenant_already_and_one_of_a_tenant_of_his_own_join_nobody(
    odd: Place, user_of_company: str, tenant: str
) -> None:
    with odd.owner() as connection:
        company_and_user(connection, user_of_company, tenant)

    assert look(odd.logins.owner, odd.names, Plan(DIMENSION, tenant_from_user=True)).joined_users == ()


@pytest.mark.parametrize(
    ("tenant", "own", "joins"), [("alice", "default", True), ("acme", "default", False), ("alice", "acme", False)]
)
def test_rows_of_no_tenant_that_would_join_a_tenant_of_others_are_known_beforehand(
    odd: Place, tenant: str, own: str, joins: bool
) -> None:
    with odd.owner() as connection:
        company_and_user(connection, "bob", own)

    assert look(odd.logins.owner, odd.names, Plan(DIMENSION, tenant)).joins_rest is joins
