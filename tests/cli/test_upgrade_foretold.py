"""What `migrate --dry-run` says beforehand of an old database as it stands, and `migrate` refuses then."""

import pytest

from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.databases import Place
from tests.upgrade.old_databases import dsn


def test_the_time_for_long_texts_is_told_with_them(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET content = repeat('in bloom. ', 130000)")

    said = words(owner.run("migrate", "--dry-run"))

    assert "at least 2 minutes, for 704.2 MiB of text, by the pace of one core" in said


@pytest.mark.parametrize(
    ("made", "remedy"),
    [
        ("ALTER DATABASE {database} SET", "ALTER DATABASE {database} SET default_transaction_read_only = off"),
        (
            "ALTER ROLE {login} IN DATABASE {database} SET",
            "ALTER ROLE {login} IN DATABASE {database} RESET default_transaction_read_only",
        ),
    ],
    ids=["database", "role in the database"],
)
def test_a_database_that_takes_no_writes_is_told_and_refused(owner: Home, old: Place, made: str, remedy: str) -> None:
    with old.owner() as connection:
        names = connection.execute("SELECT current_database(), session_user").fetchone()
        assert names is not None
        named = {"database": f'"{names[0]}"', "login": f'"{names[1]}"'}
        connection.execute(f"{made.format(**named)} default_transaction_read_only = on".encode())

    looked, ran = owner.run("migrate", "--dry-run"), owner.run("migrate", "--yes")

    assert (looked.status, ran.status) == (0, 1)
    for one in (looked, ran):
        assert f"nothing can be written: {remedy.format(**named)}" in words(one)
    assert "Nothing was changed" in words(ran)


def test_an_event_trigger_that_looks_for_its_table_in_the_owners_path_is_told_and_named(
    owner: Home, old: Place
) -> None:
    with old.owner() as connection:
        connection.execute(
            "CREATE SCHEMA audit; CREATE TABLE audit.ddl_log (tag text);"
            "CREATE FUNCTION audit.log_ddl() RETURNS event_trigger LANGUAGE plpgsql"
            " AS 'BEGIN INSERT INTO ddl_log VALUES (tg_tag); END';"
            "CREATE EVENT TRIGGER ddl_logged ON ddl_command_end EXECUTE FUNCTION audit.log_ddl()"
        )
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = public, audit".encode())

    looked, ran = owner.run("migrate", "--dry-run"), owner.run("migrate", "--yes")

    assert (looked.status, ran.status) == (0, 1)
    for one in (looked, ran):
        assert "ALTER FUNCTION audit.log_ddl() SET search_path = public, audit, unless" in words(one)
        assert "ALTER EVENT TRIGGER ddl_logged DISABLE" in words(one)
    assert 'relation "ddl_log" does not exist' in words(ran)


def test_a_migrated_database_that_takes_no_writes_needs_none_and_what_does_is_refused(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    with old.owner() as connection:
        database = f'"{connection.info.dbname}"'
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
    remedy = f"nothing can be written: ALTER DATABASE {database} SET default_transaction_read_only = off"

    ran = owner.run("migrate", "--yes")
    refused = [owner.run("migrate", way, "--yes") for way in ("--down", "--drop-bytea")]
    refused.append(owner.run("migrate", "--embedding-model", "ollama:another", "--yes"))

    assert ran.status == 0
    assert "nothing is pending" in ran.out
    assert f"left as they are: default_transaction_read_only is on, so that {remedy}" in words(ran)
    for one in refused:
        assert one.status == 1
        assert remedy in words(one)
        assert "unexpected" not in words(one)


def test_pending_migrations_are_refused_where_nothing_can_be_written(place: Place, shared_home: Home) -> None:
    home = shared_home.with_settings(OM_PG_DSN=dsn(place), OM_PG_APP_ROLE=place.names.app_role)
    with place.owner() as connection:
        database = f'"{connection.info.dbname}"'
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())

    looked, ran = home.run("migrate", "--dry-run"), home.run("migrate", "--yes")

    assert (looked.status, ran.status) == (0, 1)
    for one in (looked, ran):
        assert f"ALTER DATABASE {database} SET default_transaction_read_only = off" in words(one)
    assert words(ran).endswith("Nothing was changed")
