"""The server does not start on roles or tables that would let tenants see each other."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg import Connection, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres import roles
from openmemory.postgres.statements import Names
from tests.conftest import Server
from tests.postgres.databases import Place, a_name, a_place


@pytest.fixture(scope="module")
def ready_place(postgres: Server) -> Iterator[Place]:
    """Yield a migrated database; each test undoes what it breaks."""
    with a_place(postgres) as made:
        made.migrate()
        yield made


@pytest.fixture
def owner(ready_place: Place) -> Iterator[Connection]:
    """Yield a connection of its owner."""
    with ready_place.owner() as connection:
        yield connection


def _refused(place: Place) -> str:
    with pytest.raises(ConfigurationError) as refused:
        roles.check(place.logins.server, place.names)
    return str(refused.value)


def test_a_fresh_database_may_be_served(ready_place: Place) -> None:
    assert [warning for warning in roles.check(ready_place.logins.server, ready_place.names) if "role" in warning] == []


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS"])
def test_a_role_above_row_level_security_is_refused(ready_place: Place, owner: Connection, attribute: str) -> None:
    role = sql.Identifier(ready_place.names.app_role).as_string()
    owner.execute(f"ALTER ROLE {role} {attribute}".encode())
    try:
        message = _refused(ready_place)
    finally:
        owner.execute(f"ALTER ROLE {role} NO{attribute}".encode())

    assert f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS" in message


def test_a_role_that_owns_a_tenant_table_is_refused(ready_place: Place, owner: Connection) -> None:
    role = sql.Identifier(ready_place.names.app_role)
    owner.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(role))
    owner.execute(sql.SQL("ALTER TABLE openmemory_users OWNER TO {}").format(role))
    try:
        message = _refused(ready_place)
    finally:
        owner.execute("ALTER TABLE openmemory_users OWNER TO CURRENT_USER")
        ready_place.migrate()

    assert "openmemory_users" in message
    assert "owner" in message


def test_a_role_that_may_act_as_the_owner_is_refused(ready_place: Place, owner: Connection) -> None:
    holder = ready_place.with_role()
    role = sql.Identifier(ready_place.names.app_role)
    owner.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(holder), role))
    owner.execute(sql.SQL("ALTER TABLE openmemory_users OWNER TO {}").format(sql.Identifier(holder)))
    try:
        message = _refused(ready_place)
    finally:
        owner.execute("ALTER TABLE openmemory_users OWNER TO CURRENT_USER")
        owner.execute(sql.SQL("DROP OWNED BY {holder}; DROP ROLE {holder}").format(holder=sql.Identifier(holder)))

    assert "may act as its owner" in message


@pytest.mark.parametrize("weakening", ["DISABLE ROW LEVEL SECURITY", "NO FORCE ROW LEVEL SECURITY"])
def test_a_table_without_forced_row_level_security_is_refused(
    ready_place: Place, owner: Connection, weakening: str
) -> None:
    for table in ready_place.names.tenant_tables:
        owner.execute(f"ALTER TABLE {table} {weakening}".encode())

        message = _refused(ready_place)

        assert f'ALTER TABLE "public"."{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY' in message
        owner.execute(message.partition("Run: ")[2].encode())
    roles.check(ready_place.logins.server, ready_place.names)


_OTHERWISE = (
    "USING (true)",
    "WITH CHECK (true)",
    "USING (tenant_id = current_setting('app.current_tenant', true) OR tenant_id = 'shared')",
    "USING (tenant_id >= current_setting('app.current_tenant', true))",
    "TO PUBLIC",
    "TO CURRENT_USER",
)


@pytest.mark.parametrize("widening", _OTHERWISE)
def test_a_policy_that_is_not_as_it_was_made_is_refused(ready_place: Place, owner: Connection, widening: str) -> None:
    for table in ready_place.names.tenant_tables:
        owner.execute(f"ALTER POLICY tenant_isolation ON {table} {widening}".encode())

        message = _refused(ready_place)

        assert f'DROP POLICY IF EXISTS "tenant_isolation" ON "public"."{table}"; CREATE POLICY' in message
        owner.execute(message.partition("Run: ")[2].encode())
    roles.check(ready_place.logins.server, ready_place.names)


@pytest.mark.parametrize("made", [None, "FOR SELECT", "AS RESTRICTIVE"])
def test_a_policy_that_is_gone_or_of_another_kind_is_refused(
    ready_place: Place, owner: Connection, made: str | None
) -> None:
    owner.execute("DROP POLICY tenant_isolation ON openmemory_users")
    if made is not None:
        owner.execute(
            f"CREATE POLICY tenant_isolation ON openmemory_users {made} TO {ready_place.names.app_role}"
            " USING (tenant_id = current_setting('app.current_tenant', true))".encode()
        )

    message = _refused(ready_place)

    owner.execute(message.partition("Run: ")[2].encode())
    roles.check(ready_place.logins.server, ready_place.names)


@pytest.mark.parametrize("grantee", ["PUBLIC", "the role"])
def test_a_further_policy_for_the_role_is_refused(ready_place: Place, owner: Connection, grantee: str) -> None:
    role = ready_place.names.app_role if grantee == "the role" else grantee
    owner.execute(f"CREATE POLICY support ON {ready_place.names.memories} FOR SELECT TO {role} USING (true)".encode())

    message = _refused(ready_place)

    assert "support" in message
    owner.execute(message.partition("run: ")[2].encode())
    roles.check(ready_place.logins.server, ready_place.names)


def test_a_further_policy_that_gives_the_role_nothing_is_no_matter(ready_place: Place, owner: Connection) -> None:
    other = sql.Identifier(ready_place.with_role())
    owner.execute(sql.SQL("CREATE POLICY report ON openmemory_users FOR SELECT TO {} USING (true)").format(other))
    owner.execute(
        sql.SQL("CREATE POLICY narrow ON openmemory_users AS RESTRICTIVE TO {} USING (user_id <> 'x')").format(
            sql.Identifier(ready_place.names.app_role)
        )
    )
    try:
        roles.check(ready_place.logins.server, ready_place.names)
    finally:
        owner.execute("DROP POLICY report ON openmemory_users; DROP POLICY narrow ON openmemory_users")


def test_a_missing_table_is_refused(ready_place: Place, owner: Connection) -> None:
    owner.execute("ALTER TABLE temporal_facts RENAME TO elsewhere")
    try:
        message = _refused(ready_place)
    finally:
        owner.execute("ALTER TABLE elsewhere RENAME TO temporal_facts")

    assert "temporal_facts is missing; run `openmemory migrate`" in message


def test_a_missing_role_is_refused_with_the_statements_for_an_administrator(ready_place: Place) -> None:
    role = a_name("om_absent")

    message = _refused(replace(ready_place, names=replace(ready_place.names, app_role=role)))

    assert f'CREATE ROLE "{role}" NOLOGIN NOINHERIT; GRANT "{role}" TO ' in message


def test_a_login_that_may_not_become_the_role_is_refused(ready_place: Place) -> None:
    login = ready_place.with_role()
    logins = replace(ready_place.logins, server=ready_place.as_role(login))

    message = _refused(replace(ready_place, logins=logins))

    assert f'GRANT "{ready_place.names.app_role}" TO "{login}"' in message


def test_a_login_that_has_the_roles_rights_unasked_is_warned_of(ready_place: Place, owner: Connection) -> None:
    login = ready_place.with_role("LOGIN INHERIT")
    roles.grant(ready_place.logins.owner, ready_place.names, login)
    role, its = (sql.Identifier(name) for name in (ready_place.names.app_role, login))
    owner.execute(sql.SQL("REVOKE {0} FROM {1}; GRANT {0} TO {1}").format(role, its))

    (warning,) = _warnings_of_rights(ready_place, login)
    owner.execute(warning.partition("Run: ")[2].encode())

    assert f"the login {login} has the rights of the role" in warning
    assert _warnings_of_rights(ready_place, login) == []


def _warnings_of_rights(place: Place, login: str) -> list[str]:
    return [one for one in roles.check(place.as_role(login), place.names) if "rights" in one]


def test_an_owner_who_may_not_create_the_role_is_told_what_to_ask_for(ready_place: Place) -> None:
    login, role = ready_place.with_role(), a_name("om_absent")

    with pytest.raises(ConfigurationError) as refused:
        roles.prepare_app_role(ready_place.as_role(login), replace(ready_place.names, app_role=role))

    remedy = f'CREATE ROLE "{role}" NOLOGIN NOINHERIT; GRANT "{role}" TO "{login}" WITH ADMIN OPTION;'
    assert remedy in str(refused.value)


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS"])
def test_a_role_or_a_login_that_may_act_as_one_above_row_level_security_is_refused(
    ready_place: Place, owner: Connection, attribute: str
) -> None:
    login, above = ready_place.with_role(), ready_place.with_role()
    roles.grant(ready_place.logins.owner, ready_place.names, login)
    owner.execute(f"ALTER ROLE {above} {attribute}".encode())
    serving = replace(ready_place, logins=replace(ready_place.logins, server=ready_place.as_role(login)))
    for member, said in ((ready_place.names.app_role, f"may act as {above}"), (login, "may act as a role that does")):
        quoted = f'"{above}"', f'"{member}"'
        owner.execute("GRANT {} TO {}".format(*quoted).encode())

        message = _refused(serving)

        owner.execute("REVOKE {} FROM {}".format(*quoted).encode())
        assert said in message
    roles.check(serving.logins.server, serving.names)


def test_a_superuser_is_no_role_for_tenants_whoever_may_become_it(ready_place: Place, owner: Connection) -> None:
    login, above = ready_place.with_role(), ready_place.with_role()
    owner.execute(f"ALTER ROLE {above} SUPERUSER".encode())

    with pytest.raises(
        ConfigurationError, match=r"is a superuser or bypasses row-level security.*OM_PG_APP_ROLE"
    ) as one:
        roles.prepare_app_role(ready_place.as_role(login), replace(ready_place.names, app_role=above))

    assert "GRANT" not in str(one.value)


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("SELECT ON openmemory_memories", "SELECT on openmemory_memories"),
        ("DELETE ON openmemory_idempotency", "DELETE on openmemory_idempotency"),
        ("USAGE ON SCHEMA own", "DELETE on temporal_facts"),
    ],
)
def test_a_role_that_lacks_rights_is_refused_and_migrate_gives_them(postgres: Server, taken: str, said: str) -> None:
    with a_place(postgres, Names(schema="own", dimension=64)) as place, place.owner() as connection:
        connection.execute("CREATE SCHEMA own; SET search_path TO own")
        place.migrate()
        connection.execute(f'REVOKE {taken} FROM "{place.names.app_role}"'.encode())

        message = _refused(place)

        assert f"role {place.names.app_role} lacks rights on tables of schema own" in message
        assert said in message
        place.migrate()
        roles.check(place.logins.server, place.names)


def test_a_login_that_lacks_rights_is_refused(ready_place: Place, owner: Connection) -> None:
    login = ready_place.with_role()
    roles.grant(ready_place.logins.owner, ready_place.names, login)
    owner.execute(f'REVOKE INSERT ON openmemory_tenants FROM "{login}"'.encode())

    message = _refused(replace(ready_place, logins=replace(ready_place.logins, server=ready_place.as_role(login))))

    assert f"role {login} lacks rights on tables of schema public: INSERT on openmemory_tenants" in message
