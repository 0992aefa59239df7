"""The same command, run again: it goes on where an upgrade was stopped, and does nothing when all is done."""

from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from tests.cli.homes import Home
from tests.cli.old_owners import MIXED, NAME, words
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.upgrade.old_databases import an_old_place, dsn


def plain_owner(old: Place) -> str:
    """Give the old tables to a role that row-level security binds, and return its way in."""
    role, app_role = old.with_role(), old.names.app_role
    with old.owner() as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for statement in (
            "CREATE EXTENSION IF NOT EXISTS vector",
            f"CREATE ROLE {app_role} NOLOGIN NOINHERIT",
            f"GRANT {app_role} TO {role} WITH ADMIN OPTION",
            f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {role}",
            f"GRANT CREATE ON SCHEMA public TO {role}",
            *(f"ALTER TABLE {table} OWNER TO {role}" for (table,) in tables),
        ):
            connection.execute(statement.encode())
    return make_conninfo("", **old.as_role(role))


def test_killed_between_its_backup_and_its_first_step_the_same_command_keeps_that_backup(
    owner: Home, old: Place, tmp_path: Path
) -> None:
    options = ("migrate", "--backup", str(tmp_path / "old.dump"), "--yes")
    assert owner.run("backup", str(tmp_path / "old.dump")).status == 0
    made = (tmp_path / "old.dump").stat()

    assert owner.run(*options, "--step", "1").status == 0

    kept = (tmp_path / "old.dump").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert sorted(path.name for path in tmp_path.glob("old.dump*")) == ["old.dump"]


def test_a_backup_of_rows_that_have_changed_since_is_neither_kept_nor_written_over(
    owner: Home, old: Place, tmp_path: Path
) -> None:
    assert owner.run("backup", str(tmp_path / "old.dump")).status == 0
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET salience = 0.25 WHERE salience = (SELECT max(salience)"
                           " FROM openmemory_memories)")  # fmt: skip

    ran = owner.run("migrate", "--backup", str(tmp_path / "old.dump"), "--yes")

    assert ran.status == 1
    assert "is of other rows than are there now" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


def test_the_same_command_after_all_is_done_finds_nothing_to_do(owner: Home, tmp_path: Path) -> None:
    options = ("migrate", "--backup", str(tmp_path / "old.dump"), "--embedding-model", "openai:small", "--yes")
    assert owner.run(*options).status == 0

    again = owner.run(*options)

    assert (again.status, again.out) == (0, "nothing is pending\n"), again.err


def test_a_backup_that_comes_too_late_is_not_passed_over_in_silence(owner: Home, tmp_path: Path) -> None:
    assert owner.run("migrate", "--yes").status == 0

    ran = owner.run("migrate", "--backup", str(tmp_path / "late.dump"), "--yes")

    assert "late.dump is not written" in words(ran)


def test_a_database_that_was_never_old_keeps_the_name_of_its_model(postgres: Server, shared_home: Home) -> None:
    with a_place(postgres) as place:
        fresh = shared_home.with_settings(OM_PG_DSN=dsn(place), OM_PG_APP_ROLE=place.names.app_role)
        assert fresh.run("migrate").status == 0

        ran = fresh.run("migrate", "--embedding-model", "openai:small", "--yes")

    assert ran.status == 1
    assert "holds no database of an older OpenMemory" in words(ran)


@pytest.mark.parametrize("name", [NAME, MIXED])
def test_stopped_after_the_exchange_the_same_command_finishes_as_an_owner_who_sees_no_rows(
    postgres: Server, shared: Path, shared_home: Home, tmp_path: Path, name: str
) -> None:
    with an_old_place(postgres, shared, name, 1536) as old:
        owner = shared_home.with_settings(OM_PG_DSN=plain_owner(old), OM_PG_APP_ROLE=old.names.app_role)
        options = ("migrate", "--backup", str(tmp_path / "old.dump"), "--embedding-model", "openai:small", "--yes")
        assert owner.run(*options).status == 0
        with old.owner() as connection:
            connection.execute("UPDATE openmemory_upgrade SET value = '004' WHERE name = 'step'")

        ran = owner.run(*options)
        said = owner.run("migrate", "status", "--json").json

    assert ran.status == 0, ran.err
    assert "done 005_create_indexes" in words(ran)
    assert said["upgrade"]["step"] == "done"


@pytest.mark.parametrize("is_exchanged", [False, True])
def test_another_role_of_tenants_than_the_upgrade_began_with_is_refused_before_anything_is_done(
    owner: Home, old: Place, is_exchanged: bool
) -> None:
    assert owner.run("migrate", "--yes", *(() if is_exchanged else ("--step", "1"))).status == 0
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_upgrade SET value = '004' WHERE name = 'step' AND value = 'done'")
        tables = connection.execute("SELECT relname, relnamespace FROM pg_class ORDER BY oid").fetchall()
        ran = owner.with_settings(OM_PG_APP_ROLE="another").run("migrate", "--yes")
        assert connection.execute("SELECT relname, relnamespace FROM pg_class ORDER BY oid").fetchall() == tables

    assert ran.status == 1
    assert f"OM_PG_APP_ROLE=another: the upgrade was begun with {old.names.app_role}; set it back" in words(ran)
