"""`migrate` on databases that are empty, ready, behind or somebody else's."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from openmemory.app import Logins
from openmemory.postgres.migrate import shipped
from tests.cli.homes import Home
from tests.conftest import Server, a_database

ALL = [migration.name for migration in shipped()]


@pytest.fixture
def logins(postgres: Server) -> Iterator[Logins]:
    """Yield the way to an empty database, dropped afterwards."""
    name = f"cli_{secrets.token_hex(4)}"
    yield a_database(postgres, name)
    with psycopg.connect(autocommit=True, **postgres.owner) as connection:  # type: ignore[arg-type]  # text, all of it
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def outside(logins: Logins, shared_home: Home) -> Home:
    """Return the settings of that database, as one that the user has configured."""
    dsn = " ".join(f"{name}='{value}'" for name, value in logins.owner.items())
    return shared_home.with_settings(OM_PG_DSN=dsn)


def run_sql(logins: Logins, statement: str) -> None:
    with psycopg.connect(autocommit=True, **logins.owner) as connection:  # type: ignore[arg-type]
        connection.execute(statement.encode())


def test_an_empty_database_is_migrated_without_a_question(outside: Home) -> None:
    assert outside.run("migrate", "status", "--json").json == {"applied": [], "pending": ALL, "is_foreign": False}

    ran = outside.run("migrate")

    assert ran.status == 0, ran.err
    assert ran.out.splitlines() == [*(f"applying {name}" for name in ALL), f"{len(ALL)} migrations applied"]
    assert outside.run("migrate").out == "nothing is pending\n"
    assert outside.run("migrate", "--json").json == {"applied": []}
    assert outside.run("migrate", "--json", "status").json["applied"] == ALL


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_a_database_with_data_is_asked_for_first(outside: Home, logins: Logins, answer: str) -> None:
    outside.run("migrate")
    run_sql(logins, f"DELETE FROM openmemory_migrations WHERE name = '{ALL[-1]}'")

    ran = outside.run("migrate", stdin=answer)

    assert ran.status == 1
    assert ALL[-1] in ran.err.replace("\n", "")
    assert outside.run("migrate", "status", "--json").json["pending"] == [ALL[-1]]


def test_pending_migrations_stop_other_commands_with_the_remedy(outside: Home, logins: Logins) -> None:
    outside.run("migrate")
    run_sql(logins, f"DELETE FROM openmemory_migrations WHERE name = '{ALL[-1]}'")

    ran = outside.run("list")

    assert ran.status == 1
    assert "openmemory migrate" in ran.err


def test_an_older_openmemorys_tables_are_left_alone_by_every_other_command(outside: Home, logins: Logins) -> None:
    run_sql(logins, "CREATE TABLE openmemory_memories (id text PRIMARY KEY)")

    assert outside.run("migrate", "status", "--json").json["is_foreign"]
    ran = outside.run("list")

    assert ran.status == 1
    assert "`openmemory migrate` looks at them" in ran.err


def test_a_database_that_is_away_is_one_line(shared_home: Home) -> None:
    ran = shared_home.with_settings(OM_PG_DSN="host=127.0.0.1 port=1 user=nobody password=hidden-one").run("migrate")

    assert ran.status == 1
    assert "hidden-one" not in ran.err
    assert ran.err.startswith("openmemory: cannot connect to PostgreSQL at 127.0.0.1 port 1, ")
