"""`migrate` on an old database, as its owner at a terminal has it."""

from pathlib import Path

import psycopg
import pytest

from openmemory.postgres.locks import the_only_one
from tests.cli.homes import Home
from tests.cli.old_owners import MIXED, NAME, words
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place, dsn, verify


def test_a_dry_run_says_everything_and_changes_nothing(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        tables = connection.execute("SELECT relname, relnamespace FROM pg_class ORDER BY oid").fetchall()
        ran = owner.run("migrate", "--dry-run")
        assert connection.execute("SELECT relname, relnamespace FROM pg_class ORDER BY oid").fetchall() == tables

    assert ran.status == 0, ran.err
    for said in ("before pgvector", "715 rows", "1536: 715", "openmemory_embed_logs, stats", "goes to default", "MiB"):
        assert said in words(ran)
    found = owner.run("migrate", "--dry-run", "--json").json["found"]
    assert (found["rows"]["memories"], found["dimension"]) == (568, 1536)


def test_a_dry_run_counts_the_indexes_that_the_settings_ask_for(owner: Home, old: Place) -> None:
    asked = owner.with_settings(OM_PGVECTOR_INDEX_TYPE="hnsw", OM_HNSW_M="16")

    said = asked.run("migrate", "--dry-run")
    with_index = asked.run("migrate", "--dry-run", "--json").json["found"]["estimate"]
    without = owner.run("migrate", "--dry-run", "--json").json["found"]["estimate"]

    assert "about 5.6 MiB more for hnsw (m = 16, pages of 8 KiB, every vector(1536)" in words(said)
    assert (with_index["index_bytes"], without["index_bytes"]) == (715 * 8192, 0)
    assert with_index["wal_bytes"] - without["wal_bytes"] >= 715 * 8192


@pytest.mark.parametrize("answers", ["n\n", "", "\n"])
def test_without_a_yes_nothing_is_changed_and_the_missing_backup_is_named(
    owner: Home, old: Place, answers: str
) -> None:
    ran = owner.run("migrate", stdin=answers)

    assert ran.status == 1
    assert "nothing was changed" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
    assert "NO BACKUP" in words(ran)


def test_where_users_became_tenants_the_status_says_so(owner: Home) -> None:
    assert owner.run("migrate", "--step", "1", "--yes", "--tenant-from", "user_id").status == 0

    assert "tenant each user; else default" in words(owner.run("migrate", "status"))


def test_a_backup_is_made_and_counted_first(owner: Home, tmp_path: Path) -> None:
    ran = owner.run("migrate", "--yes", "--backup", str(tmp_path / "old.dump"))

    assert ran.status == 0, ran.err
    assert "old.dump holds 2,645 rows of 6 tables" in words(ran)
    assert (tmp_path / "old.dump").stat().st_size > 1_000_000


def test_the_same_command_goes_on_with_the_backup_that_it_made(owner: Home, old: Place, tmp_path: Path) -> None:
    options = ("migrate", "--backup", str(tmp_path / "old.dump"), "--yes")
    assert owner.run(*options, "--step", "1").status == 0

    late = owner.run("migrate", "--backup", str(tmp_path / "late.dump"), "--yes")
    assert "a backup is made before an upgrade begins" in words(late)
    (tmp_path / "other.dump").write_bytes((tmp_path / "old.dump").read_bytes())
    assert owner.run("migrate", "--backup", str(tmp_path / "other.dump"), "--yes", "--step", "2").status == 0

    assert owner.run(*options).status == 0


def test_a_backup_of_another_database_is_not_taken_for_this_ones(
    owner: Home, old: Place, tmp_path: Path, postgres: Server, shared: Path
) -> None:
    with an_old_place(postgres, shared, MIXED, 1536) as other:
        others = owner.with_settings(OM_PG_DSN=dsn(other), OM_PG_APP_ROLE=other.names.app_role)
        assert others.run("backup", str(tmp_path / "other.dump")).status == 0
    assert owner.run("migrate", "--step", "1", "--yes").status == 0

    ran = owner.run("migrate", "--backup", str(tmp_path / "other.dump"), "--yes")

    assert ran.status == 1
    assert "is no backup of this database" in words(ran)


def test_what_a_backup_that_was_cut_off_left_is_written_over(owner: Home, tmp_path: Path) -> None:
    (tmp_path / "old.dump.partial").write_text("cut off")

    assert owner.run("migrate", "--backup", str(tmp_path / "old.dump"), "--yes").status == 0

    assert sorted(path.name for path in tmp_path.glob("old.dump*")) == ["old.dump"]


def test_ivfflat_with_its_defaults_is_built_although_the_server_gives_little_memory(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET maintenance_work_mem = '64MB'".encode())

    ran = owner.with_settings(OM_PGVECTOR_INDEX_TYPE="ivfflat").run("migrate", "--yes")

    assert ran.status == 0, ran.err
    with old.owner() as connection:
        built = connection.execute(
            "SELECT bool_and(i.indisvalid), count(*) > 0 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'ivfflat'"
            " AND i.indrelid = 'openmemory_vectors'::regclass"
        ).fetchone()
    assert built == (True, True)


def test_a_backup_that_cannot_be_made_stops_everything(owner: Home, old: Place, tmp_path: Path) -> None:
    (tmp_path / "old.dump").touch()

    ran = owner.run("migrate", "--yes", "--backup", str(tmp_path / "old.dump"))

    assert ran.status == 1
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


@pytest.mark.parametrize("command", [("serve", "--port", "8099"), ("list",), ("add", "a text"), ("query", "a text")])
def test_other_commands_refuse_and_name_this_one(owner: Home, command: tuple[str, ...]) -> None:
    ran = owner.spawn(*command)  # as a process of its own, for `serve` sets up logging

    assert ran.status == 1
    assert "`openmemory migrate`" in words(ran)


def test_a_half_done_upgrade_is_told_refused_elsewhere_and_goes_on(owner: Home, old: Place, shared: Path) -> None:
    assert owner.run("migrate", "--yes", "--step", "1").status == 0
    assert owner.run("migrate", "--yes", "--step", "002_add_tenant_id").status == 0

    said = owner.run("migrate", "status", "--json").json
    assert (said["upgrade"]["step"], said["parts"]["memories"], said["parts"]["vectors"]) == ("002", 1.0, 0.0)
    assert "step 002" in owner.run("migrate", "status").out
    assert owner.spawn("serve", "--port", "8099").status == 1
    again = owner.run("migrate", "--yes", "--tenant", "other")
    assert again.status == 1
    assert "--tenant other: the upgrade was begun with default" in words(again)
    assert owner.run("migrate", "--yes").status == 0
    assert verify(old, shared, NAME)["identical"] == 715
    assert owner.run("migrate", "--yes").out == "nothing is pending\n"


def test_what_was_set_aside_is_listed_with_its_reason(postgres: Server, shared: Path, shared_home: Home) -> None:
    with an_old_place(postgres, shared, MIXED, 64) as old:
        owner = shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)
        before = owner.run("migrate", "--dry-run")
        assert owner.run("migrate", "--yes").status == 0
        said = owner.run("migrate", "status")
        listed = owner.run("migrate", "status", "--json").json["set_aside"]

    assert "1536 dimensions, the database has 256" in words(before)
    assert "1536 dimensions, the database has 256" in words(said)
    assert sum(one["count"] for one in listed if "dimensions" in one["reason"]) == 263


def test_a_row_is_named_of_each_reason_beforehand_and_in_the_report(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD tenant_id text NOT NULL DEFAULT 'acme'")
        connection.execute("DELETE FROM openmemory_users WHERE user_id <> 'bob'")
    said = "in a tenant where it has no row; kept in both 1 row, such as bob"

    assert said in words(owner.run("migrate", "--dry-run"))
    assert said in words(owner.run("migrate", "--yes"))


def test_rows_that_would_join_a_tenant_of_others_are_told_in_the_look_the_question_and_the_report(
    owner: Home, old: Place
) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD tenant_id text NOT NULL DEFAULT 'default'")
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'acme' WHERE user_id = 'bob'")
    said = "rows name acme as their tenant, and the rows that name none go to it as well"

    assert said in words(owner.run("migrate", "--dry-run", "--tenant", "acme"))
    assert said not in words(owner.run("migrate", "--dry-run"))
    asked = owner.run("migrate", "--tenant", "acme", stdin="n\n")
    assert words(asked).count(said) == 2
    done = owner.run("migrate", "--tenant", "acme", "--yes", "--json")
    assert said in " ".join(done.err.split())
    assert done.json["found"]["joins_rest"] is True


def test_going_back_under_a_server_is_refused_and_names_what_reembed_made(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    with psycopg.connect(application_name="serving", **old.logins.owner):  # type: ignore[arg-type]
        ran = owner.run("migrate", "--down", "--yes")
    assert ran.status == 1
    assert "serving" in words(ran)

    assert owner.run("reembed", "--yes").status == 0

    asked = owner.run("migrate", "--down", stdin="n\n")
    assert "the vectors of static-v1" in words(asked)
    gone = owner.run("migrate", "--down", "--yes")
    assert gone.status == 0, gone.err
    assert "warning: going back drops the vectors of static-v1" in " ".join(gone.err.split())
    assert "the old tables are back; gone are the vectors of static-v1" in " ".join(gone.out.split())


def test_going_back_is_refused_under_another_login_that_may_become_the_tenants_role(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    login = old.with_role(f"LOGIN NOINHERIT PASSWORD 'its-own' IN ROLE {old.names.app_role}")
    with psycopg.connect(f"{dsn(old)} user={login} password=its-own"):
        ran = owner.run("migrate", "--down", "--yes")
        passed_over = owner.run("migrate", "--down", "--yes", "--ignore-sessions")

    assert ran.status == 1
    assert "what may be a server is connected" in words(ran)
    assert login in words(ran)
    assert passed_over.status == 0, passed_over.err


def test_going_back_beside_a_migrator_names_it(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    with old.owner() as other, the_only_one(other):
        ran = owner.run("migrate", "--down", "--yes")

    assert ran.status == 1
    assert "another `openmemory migrate` is at work" in words(ran)


def test_going_back_and_dropping_ask_first(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0

    assert owner.run("migrate", "--drop-bytea").status == 1
    assert owner.run("migrate", "--down").status == 1
    with old.owner() as connection:
        assert connection.execute("SELECT count(v) FROM openmemory_old_public.openmemory_vectors").fetchone() == (715,)
    assert owner.run("migrate", "--down", "--yes").status == 0
    assert owner.run("migrate", "--dry-run").status == 0


def test_a_step_is_printed_as_sql_and_nothing_is_changed(owner: Home, old: Place) -> None:
    ran = owner.run("migrate", "sql", "1", "--tenant", "acme")

    assert ran.status == 0, ran.err
    assert "CREATE SCHEMA" in ran.out
    assert "'acme'" in ran.out
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
    assert "must be 1 to 5" in words(owner.run("migrate", "sql", "9"))
