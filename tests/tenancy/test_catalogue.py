"""What the catalogue must say of every table with a tenant_id, whichever tables there are."""

from psycopg import Connection

from openmemory.postgres.statements import Names
from tests.tenancy.victims import REGISTRY, tables_with_a_tenant, tenant_tables

_SETTING = "current_setting('app.current_tenant'::text, true)"
_PREDICATE = f"(tenant_id = {_SETTING})"


def test_the_tables_with_a_tenant_are_those_that_are_checked_at_start(owner: Connection, names: Names) -> None:
    found = tenant_tables(owner)

    assert sorted(names.tenant_tables) == found, "a new tenant table belongs into Names.tenant_tables and grants.sql"


def test_row_level_security_is_forced_on_every_table_with_a_tenant(owner: Connection) -> None:
    query = "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass"

    open_tables = [table for table in tenant_tables(owner) if owner.execute(query, [table]).fetchone() != (True,)]

    assert not open_tables, f"row-level security is not forced on {open_tables}: see 0006_enforce_tenancy.sql"


def test_the_only_policy_of_every_table_compares_the_tenant_for_the_tenants_role(
    owner: Connection, names: Names
) -> None:
    query = (
        "SELECT permissive, roles::text[], cmd, qual, with_check FROM pg_policies"
        " WHERE schemaname = 'public' AND tablename = %s"
    )
    wanted = [("PERMISSIVE", [names.app_role], "ALL", _PREDICATE, _PREDICATE)]

    found = {table: owner.execute(query, [table]).fetchall() for table in tenant_tables(owner)}

    assert {table: policies for table, policies in found.items() if policies != wanted} == {}


def test_no_row_can_be_of_a_tenant_without_a_name(owner: Connection) -> None:
    query = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'"
        " AND pg_get_constraintdef(oid) = $$CHECK ((tenant_id <> ''::text))$$ AND convalidated"
    )
    not_null = "SELECT attnotnull FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'tenant_id'"

    tables = tables_with_a_tenant(owner)

    assert [table for table in tables if not owner.execute(query, [table]).fetchall()] == []
    assert [table for table in tables if owner.execute(not_null, [table]).fetchone() != (True,)] == []


def test_the_tenant_comes_first_in_every_key_and_index(owner: Connection) -> None:
    query = (
        "SELECT i.indexrelid::regclass::text, i.indisprimary, pg_get_indexdef(i.indexrelid, 1, true)"
        " FROM pg_index i WHERE i.indrelid = %s::regclass"
    )

    indexes = {table: owner.execute(query, [table]).fetchall() for table in tables_with_a_tenant(owner)}

    assert [table for table, found in indexes.items() if not any(is_primary for _, is_primary, _ in found)] == []
    elsewhere = [str(name) for found in indexes.values() for name, _, first in found if not _is_tenant(str(first))]
    assert elsewhere == []


def test_no_foreign_key_leads_to_another_tenants_row(owner: Connection) -> None:
    query = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    )

    keys = owner.execute(query).fetchall()

    assert keys
    assert [name for name, text in keys if str(text).count("(tenant_id, ") != 2] == []


def test_the_tenants_role_owns_nothing_and_has_no_dangerous_attribute(owner: Connection, names: Names) -> None:
    attributes = owner.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin, rolinherit"
        " FROM pg_roles WHERE rolname = %s",
        [names.app_role],
    ).fetchone()
    owned = owner.execute("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", [names.app_role]).fetchone()
    memberships = owner.execute(
        "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole", [names.app_role]
    ).fetchone()

    assert attributes == (False,) * 7
    assert owned == (0,)
    assert memberships == (0,)


def test_the_tenants_role_may_use_tenant_tables_and_no_other(owner: Connection, names: Names) -> None:
    query = (
        "SELECT c.relname, array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type)"
        " FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = %s::regrole GROUP BY 1"
    )

    granted = {str(table): rights for table, rights in owner.execute(query, [names.app_role])}

    wanted: object = ["DELETE", "INSERT", "SELECT", "UPDATE"]
    assert granted == dict.fromkeys(tenant_tables(owner), wanted)
    assert REGISTRY not in granted


def test_no_view_and_no_definer_function_walks_around_the_policies(owner: Connection) -> None:
    views = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
    functions = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')"
    )

    assert owner.execute(views).fetchall() == []
    assert owner.execute(functions).fetchall() == []


def _is_tenant(first: str) -> bool:
    return first == "tenant_id" or "textrange(tenant_id, tenant_id," in first
