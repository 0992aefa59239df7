"""Hosted platforms give their roles rights on every new table of the public schema; ours are taken back."""

from collections.abc import Iterator

import pytest
from psycopg import Connection, sql

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.upgrade.test_odd_values import OLD_TABLES

PLATFORM_ROLES = ("anon", "authenticated", "service_role")

_HELD_ON_RELATIONS = """
SELECT c.relname, p.privilege
  FROM pg_class c
 CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (privilege)
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege(%(role)s, c.oid, p.privilege)
UNION ALL
SELECT c.relname, p.privilege
  FROM pg_class c
 CROSS JOIN unnest(ARRAY['SELECT', 'UPDATE', 'USAGE']) AS p (privilege)
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S'
   AND has_sequence_privilege(%(role)s, c.oid, p.privilege)
UNION ALL
SELECT p.proname, 'EXECUTE'
  FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.proname = 'openmemory_faded'
   AND has_function_privilege(%(role)s, p.oid, 'EXECUTE')
"""
_HELD_BY_PUBLIC = """
SELECT c.relname, a.privilege_type
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0
"""


@pytest.fixture(scope="module", params=["fresh", "lifted"])
def platform(postgres: Server, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Yield a database that was migrated after the platform had set its default rights."""
    with a_place(postgres) as place:
        with place.owner() as connection:
            if request.param == "lifted":
                connection.execute(OLD_TABLES.encode())
            for role in PLATFORM_ROLES:
                _create(connection, role)
            everybody = sql.SQL(", ").join([*map(sql.Identifier, PLATFORM_ROLES), sql.SQL("PUBLIC")])
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS", "TYPES"):
                defaults = f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO ".encode()
                connection.execute(defaults + everybody.as_bytes())
        if request.param == "lifted":
            upgrade(place.logins.owner, place.names, Plan(place.names.dimension))
        else:
            place.migrate()
        yield place


@pytest.mark.parametrize("role", PLATFORM_ROLES)
def test_a_platforms_role_has_no_right_on_anything_of_ours(platform: Place, role: str) -> None:
    with platform.owner() as connection:
        held = connection.execute(_HELD_ON_RELATIONS, {"role": role}).fetchall()

    assert held == []


def test_everybody_has_no_right_on_anything_of_ours(platform: Place) -> None:
    with platform.owner() as connection:
        held = connection.execute(_HELD_BY_PUBLIC).fetchall()

    assert held == []


def test_the_tenants_role_still_has_its_rights(platform: Place) -> None:
    with platform.owner() as connection:
        held = connection.execute(_HELD_ON_RELATIONS, {"role": platform.names.app_role}).fetchall()

    wanted = {(table, right) for table in platform.names.tenant_tables for right in _RIGHTS}
    assert set(held) == wanted | {("openmemory_faded", "EXECUTE")}


_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def _create(connection: Connection, role: str) -> None:
    # Two workers may come here at once: the name is the cluster's, the lock too late in another database.
    connection.execute(
        sql.SQL(
            "DO $$ BEGIN CREATE ROLE {} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ).format(sql.Identifier(role))
    )
