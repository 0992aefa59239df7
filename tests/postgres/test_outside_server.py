"""The walk of docs/how-to/own-postgresql.md on a PostgreSQL 16 that somebody else administers."""

import re
import subprocess
from contextlib import ExitStack

import pytest

from openmemory.postgres.migrate import shipped
from tests.cli.homes import PATIENCE_S, Home, a_port, call
from tests.postgres.outside import Outside, Site, a_site

LAMP = "The lamp of the lighthouse is brass"


@pytest.fixture
def site(server: Outside, home: Home) -> Site:
    """Return a migrated database."""
    migrated = a_site(server, "CREATEROLE")
    ran = migrated.home(home).run("migrate")
    assert ran.status == 0, ran.err
    return migrated


def told(message: str) -> str:
    """Return the SQL that a message asks an administrator for."""
    found = re.search(r"(?:to run|Run): (.*)", " ".join(message.split()))
    assert found is not None, message
    return found[1]


def test_an_owner_who_is_no_superuser_migrates(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE")

    ran = site.home(home).run("migrate")

    assert ran.status == 0, ran.err
    assert f"{len(shipped())} migrations applied" in ran.out
    assert site.value("SELECT count(DISTINCT tableowner) FROM pg_tables WHERE schemaname = 'public'") == 1
    assert site.value("SELECT min(tableowner) FROM pg_tables WHERE schemaname = 'public'") == site.owner


def test_a_login_that_owns_nothing_serves_tenants_apart(site: Site, home: Home) -> None:
    port, second_port = a_port(), a_port()
    with site.home(home).serving(port) as first, site.home(home).serving(second_port) as second:
        call(port, "/memory/add", {"content": LAMP}, "acme")

        found = call(second_port, "/memory/query", {"query": "brass lamp"}, "acme")
        strange = call(port, "/memory/query", {"query": "brass lamp"}, "globex")
        logins = site.value("SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity WHERE usename LIKE 'log%'")
        stop(first, second)

    assert [match["content"] for match in found["matches"]] == [LAMP]
    assert strange["matches"] == []
    assert logins == site.login


def test_the_login_sees_no_row_of_its_own_right(site: Site, home: Home) -> None:
    site.home(home).run("add", LAMP, "--tenant", "acme")

    reads = f"SELECT has_table_privilege('{site.login}', 'openmemory_memories', 'SELECT')"

    assert site.value("SELECT count(*) FROM openmemory_memories") == 1
    assert site.value(reads) is False


def test_the_owner_alone_serves_too(server: Outside, home: Home) -> None:
    alone = a_site(server, "CREATEROLE").home(home, with_login=False)

    assert alone.run("add", LAMP, "--tenant", "acme").status == 0  # which also creates the tables
    assert alone.run("query", "lamp", "--tenant", "acme", "--json").json["matches"][0]["content"] == LAMP
    assert alone.run("query", "lamp", "--tenant", "globex", "--json").json["matches"] == []


@pytest.mark.parametrize("command", ["migrate", "list"])
def test_missing_rights_over_roles_produce_the_sql_for_an_administrator(
    server: Outside, home: Home, command: str
) -> None:
    site = a_site(server, "NOCREATEROLE")
    owner = site.home(home, with_login=False)

    refused = owner.run(command)
    site.run(told(refused.err))
    ran = owner.run("migrate")

    assert refused.status == 1
    assert f'CREATE ROLE "{site.role}" NOLOGIN NOINHERIT' in refused.err
    assert ran.status == 0, ran.err


def test_the_sql_for_an_administrator_is_enough_for_a_login_too(server: Outside, home: Home) -> None:
    site = a_site(server, "NOCREATEROLE")
    refused = site.home(home).run("migrate")
    site.run(told(refused.err))

    ran = site.home(home).run("migrate")

    assert ran.status == 0, ran.err


def test_a_login_that_an_administrator_let_in_needs_no_admin_option_of_the_owner(server: Outside, home: Home) -> None:
    site = a_site(server, "NOCREATEROLE")
    site.run(
        f"CREATE ROLE {site.role} NOLOGIN NOINHERIT",
        f"GRANT {site.role} TO {site.owner}",
        f"GRANT {site.role} TO {site.login}",
    )

    ran = site.home(home).run("migrate")

    assert ran.status == 0, ran.err
    assert site.home(home).run("add", "one").status == 0


def test_a_membership_that_does_not_let_the_login_become_the_role_is_not_enough(server: Outside, home: Home) -> None:
    site = a_site(server, "NOCREATEROLE")
    site.run(
        f"CREATE ROLE {site.role} NOLOGIN NOINHERIT",
        f"GRANT {site.role} TO {site.owner}",
        f"GRANT {site.role} TO {site.login} WITH SET FALSE, INHERIT FALSE",
    )

    refused = site.home(home).run("migrate")
    site.run(told(refused.err))
    ran = site.home(home).run("migrate")

    assert refused.status == 1
    assert ran.status == 0, ran.err
    assert site.home(home).run("add", "one").status == 0


def test_an_extension_that_only_an_administrator_may_create_is_asked_for(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE", with_extension=False)

    refused = site.home(home).run("migrate")
    site.run("CREATE EXTENSION vector")
    ran = site.home(home).run("migrate", "--yes")

    assert refused.status == 1
    assert "CREATE EXTENSION vector" in refused.err
    assert ran.status == 0, ran.err


def test_a_first_migration_that_failed_is_repeated_without_a_question(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE", with_extension=False)
    site.home(home).run("migrate")
    site.run("CREATE EXTENSION vector")

    ran = site.home(home).run("migrate")

    assert ran.status == 0, ran.err


def test_other_names_and_another_schema(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE")
    names = {"OM_PG_SCHEMA": "memory", "OM_PG_TABLE": "notes", "OM_VECTOR_TABLE": "note_vectors"}
    renamed = site.home(home).with_settings(**names)

    assert renamed.run("migrate").status == 0
    assert renamed.run("add", LAMP, "--tenant", "acme").status == 0

    assert renamed.run("query", "lamp", "--tenant", "acme", "--json").json["matches"][0]["content"] == LAMP
    assert site.value("SELECT count(*) FROM memory.notes") == 1


def test_rights_on_a_schema_are_enough_where_it_is_there(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE")
    site.run(f"CREATE SCHEMA memory AUTHORIZATION {site.owner}", f"ALTER DATABASE {site.database} OWNER TO postgres")

    ran = site.home(home).with_settings(OM_PG_SCHEMA="memory").run("migrate")

    assert ran.status == 0, ran.err


@pytest.mark.parametrize(
    ("spoiling", "remedy"),
    [
        ("ALTER ROLE {role} BYPASSRLS", 'ALTER ROLE "{role}" NOSUPERUSER NOBYPASSRLS'),
        ("ALTER ROLE {role} SUPERUSER", 'ALTER ROLE "{role}" NOSUPERUSER NOBYPASSRLS'),
        ("ALTER TABLE openmemory_waypoints NO FORCE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"),
        ("ALTER TABLE openmemory_waypoints DISABLE ROW LEVEL SECURITY", "ENABLE ROW LEVEL SECURITY"),
    ],
)
def test_what_would_let_tenants_see_each_other_is_refused_with_the_remedy(
    site: Site, home: Home, spoiling: str, remedy: str
) -> None:
    site.run(spoiling.format(role=site.role))

    refused = site.home(home).run("list")
    site.run(told(refused.err))

    assert refused.status == 1
    assert remedy.format(role=site.role) in refused.err
    assert site.home(home).run("list").status == 0


def test_a_role_that_owns_a_table_is_refused(site: Site, home: Home) -> None:
    site.run(f"ALTER TABLE openmemory_waypoints OWNER TO {site.role}")

    refused = site.home(home).run("list")

    assert refused.status == 1
    assert "owns table openmemory_waypoints" in refused.err


@pytest.mark.parametrize(
    ("version", "status", "says"),
    [("0.7.4", 1, "0.8.0 or newer is needed"), ("0.8.3", 0, "0.8.4 mends"), ("0.8.4", 0, "")],
)
def test_an_old_pgvector_is_refused_or_warned_of(site: Site, home: Home, version: str, status: int, says: str) -> None:
    site.run(f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'vector'")

    ran = site.home(home).run("list")

    assert ran.status == status, ran.err
    assert says in ran.err


def test_rights_of_a_hosted_platforms_roles_are_taken_away_again(server: Outside, site: Site, home: Home) -> None:
    has_anon = server.value("SELECT count(*) FROM pg_roles WHERE rolname = 'anon'")
    site.run(*([] if has_anon else ["CREATE ROLE anon NOLOGIN"]), "GRANT ALL ON ALL TABLES IN SCHEMA public TO anon")

    site.home(home).run("migrate")

    assert site.value("SELECT has_table_privilege('anon', 'openmemory_memories', 'SELECT')") is False


def test_a_login_without_rights_is_told_the_way(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE")
    site.home(home, with_login=False).run("migrate")

    ran = site.home(home).run("list")

    assert ran.status == 1
    assert "openmemory migrate" in ran.err


def test_a_login_that_nobody_created_is_named_with_the_way_out(server: Outside, home: Home) -> None:
    there = a_site(server, "CREATEROLE").home(home).with_settings(OM_PG_APP_USER="nobody_made_it")

    ran = there.run("migrate")

    assert ran.status == 1
    assert 'role "nobody_made_it" does not exist' in ran.err
    assert "Create the login that OM_PG_APP_USER names" in ran.err.replace("\n", " ")


def test_servers_that_start_together_on_an_empty_database_all_serve(server: Outside, home: Home) -> None:
    started = [site_home.started("list") for site_home in [a_site(server, "CREATEROLE").home(home)] * 3]
    with ExitStack() as left:
        processes = [left.enter_context(one) for one in started]
        outcomes = [(process.communicate(timeout=PATIENCE_S)[1], process.returncode) for process in processes]

    assert [status for _, status in outcomes] == [0, 0, 0], outcomes


def test_a_role_that_the_owner_made_itself_is_good_enough(server: Outside, home: Home) -> None:
    site = a_site(server, "CREATEROLE")
    site.run(f"SET ROLE {site.owner}; CREATE ROLE {site.role} NOLOGIN NOINHERIT")

    owner = site.home(home, with_login=False)
    owner.run("migrate")

    assert owner.run("list").status == 0


def stop(*processes: "subprocess.Popen[str]") -> None:
    """Stop servers as a signal does."""
    for process in processes:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
