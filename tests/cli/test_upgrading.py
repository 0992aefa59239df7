"""`migrate` on an old database, as its owner at a terminal has it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psycopg
import pytest

from tests.cli.homes import Home, Ran
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place, dsn, verify

NAME, MIXED = "legacy-pre-pgvector", "legacy-pre-pgvector-mixed-dims"


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the recorded database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, NAME, 1536) as place:
        yield place


@pytest.fixture
def owner(old: Place, shared_home: Home) -> Home:
    """Return the settings of its owner."""
    return shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)


def words(ran: Ran) -> str:
    """Return what was said on either channel, without its line breaks."""
    return " ".join((ran.out + ran.err).split())


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


@pytest.mark.parametrize(
    ("answers", "model"),
    [
        ("y\nopenai:text-embedding-3-small\n", "openai:text-embedding-3-small"),
        ("y\n\n", "unknown"),
        ("y\n", "unknown"),
        ("y\n" * 9, "unknown"),
    ],
    ids=["named", "Enter", "nobody there", "yes to everything"],
)
def test_who_agrees_is_asked_for_the_model_and_a_yes_is_none(
    owner: Home, old: Place, shared: Path, answers: str, model: str
) -> None:
    ran = owner.run("migrate", stdin=answers)

    assert ran.status == 0, ran.err
    assert verify(old, shared, NAME)["identical"] == 715
    with old.owner() as connection:
        rows = connection.execute("SELECT value FROM openmemory_meta WHERE name = 'embedding_model'").fetchall()
    assert rows == [(model,)]


def test_a_model_that_was_named_late_or_wrongly_is_corrected_after_a_question(owner: Home) -> None:
    assert owner.run("migrate", "--step", "1", "--yes").status == 0
    assert owner.run("migrate", "--step", "2", "--yes", "--embedding-model", "opnai:small").status == 0

    refused = owner.run("migrate", "--embedding-model", "openai:small", stdin="y\nn\n")
    assert "recorded as made by opnai:small" in words(refused)
    assert owner.run("migrate", "--embedding-model", "openai:medium", "--yes").status == 0

    assert owner.run("migrate", "--embedding-model", "openai:small", stdin="n\n").status == 1
    assert owner.run("migrate", "--embedding-model", "openai:small", stdin="y\n").status == 0
    assert "text-embedding" not in words(owner.run("list"))
    assert "made by openai:small" in words(owner.run("list"))


def test_tables_of_other_names_than_the_settings_say_are_named_and_nothing_is_done(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories RENAME TO mem")
        connection.execute("ALTER TABLE openmemory_vectors RENAME TO vec")

    ran = owner.run("migrate", "--yes")

    assert ran.status == 1
    assert "openmemory_memories (OM_PG_TABLE), openmemory_vectors (OM_VECTOR_TABLE)" in words(ran)
    assert "OM_PG_TABLE=mem OM_VECTOR_TABLE=vec" in words(ran)
    named = owner.with_settings(OM_PG_TABLE="mem", OM_VECTOR_TABLE="vec")
    assert named.run("migrate", "--yes", "--json").json["report"]["rows"]["vectors"] == 715


def test_ids_that_are_one_in_two_writings_are_named_before_anything_is_done(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ALTER COLUMN id TYPE text")
        connection.execute(
            "INSERT INTO openmemory_memories SELECT (jsonb_populate_record(m, jsonb_build_object('id', upper(id)))).*"
            "  FROM openmemory_memories m WHERE id ~ '[a-f]' LIMIT 3"
        )

    ran = owner.run("migrate", "--yes")

    assert ran.status == 1
    assert "3 ids of memories are there more than once" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


def test_the_same_vector_twice_is_named_before_anything_is_done(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_vectors DROP CONSTRAINT openmemory_vectors_pkey")
        connection.execute("INSERT INTO openmemory_vectors SELECT * FROM openmemory_vectors LIMIT 2")

    assert "2 ids of vectors are there more than once" in words(owner.run("migrate", "--yes"))


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ("CREATE TABLE openmemory_meta (own text)", "openmemory_meta"),
        ("CREATE TABLE own (id text); CREATE INDEX openmemory_vectors_search ON own (id)", "openmemory_vectors_search"),
    ],
)
def test_a_name_that_is_taken_is_told_before_the_work(owner: Home, old: Place, taken: str, name: str) -> None:
    with old.owner() as connection:
        connection.execute(taken.encode())

        ran = owner.run("migrate", "--yes")

        assert ran.status == 1
        assert f"under a name of the new tables: {name}" in words(ran)
        kind = "TABLE" if name.endswith("meta") else "INDEX"
        connection.execute(f"ALTER {kind} {name} RENAME TO mine".encode())
    assert owner.run("migrate", "--yes").status == 0


def test_a_schema_that_is_a_slip_of_the_pen_is_asked_about(owner: Home, old: Place) -> None:
    slip = owner.with_settings(OM_PG_SCHEMA="pubic")

    ran = slip.run("migrate", stdin="n\n")

    assert ran.status == 1
    assert "public has a table openmemory_memories" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regnamespace('pubic')").fetchone() == (None,)


def test_an_old_database_without_a_vector_takes_the_settings_model_and_serves(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("TRUNCATE openmemory_memories, openmemory_vectors, openmemory_waypoints")

    assert owner.run("migrate", "--yes").status == 0

    assert owner.run("list").status == 0


def test_on_a_lifted_database_other_options_are_refused(owner: Home) -> None:
    assert owner.run("migrate", "--yes").status == 0

    ran = owner.run("migrate", "--embedding-model", "openai:small", "--dim", "256")

    assert ran.status == 1
    assert "leave --dim out" in words(ran)


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


def test_an_index_that_does_not_fit_is_refused_before_anything_is_done(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = v || v, dim = 3072")
    hnsw = owner.with_settings(OM_PGVECTOR_INDEX_TYPE="hnsw")

    ran = hnsw.run("migrate", "--yes")

    assert ran.status == 1
    assert "up to 2000 dimensions, the vectors have 3072" in words(ran)
    assert "OM_VEC_TYPE=halfvec" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
    assert hnsw.with_settings(OM_VEC_TYPE="halfvec").run("migrate", "--step", "1", "--yes").status == 0
    assert "was begun with halfvec" in words(owner.run("migrate", "--yes"))


def test_ivfflat_with_its_defaults_is_built_although_the_server_gives_little_memory(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET maintenance_work_mem = '64MB'".encode())

    ran = owner.with_settings(OM_PGVECTOR_INDEX_TYPE="ivfflat").run("migrate", "--yes")

    assert ran.status == 0, ran.err


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


def test_an_old_server_that_still_writes_is_named(owner: Home, old: Place) -> None:
    with psycopg.connect(**old.logins.owner, application_name="old-server") as live:  # type: ignore[arg-type]
        live.execute("UPDATE openmemory_memories SET salience = 1")
        ran = owner.run("migrate", "--yes")
        live.rollback()

    assert ran.status == 1
    assert "still writes" in words(ran)
    assert "old-server" in words(ran)


def test_a_pool_whose_last_word_was_commit_is_named_and_can_be_passed_over(owner: Home, old: Place) -> None:
    with psycopg.connect(application_name="pool", autocommit=True, **old.logins.owner) as live:  # type: ignore[arg-type]
        live.execute("BEGIN; UPDATE openmemory_users SET reflection_count = 1; COMMIT")
        live.execute("COMMIT")
        ran = owner.run("migrate", "--yes")
        assert ran.status == 1
        assert "pool" in words(ran)
        assert "--ignore-sessions" in words(ran)
        live.execute("SELECT pg_stat_force_next_flush()")
        live.execute("COMMIT")
        assert owner.run("migrate", "--yes", "--ignore-sessions").status == 0


def test_rows_that_are_written_meanwhile_are_noticed_whoever_writes_them(owner: Home, old: Place) -> None:
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            with old.owner() as short:
                short.execute("UPDATE openmemory_users SET reflection_count = reflection_count + 1")

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        ran = owner.run("migrate", "--yes", "--ignore-sessions")
        stop.set()
        writing.result()

    assert ran.status == 1
    assert "were written while this looked" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tenant", "a\nb"), "--tenant"),
        (("--tenant-from", "project_id"), "user_id"),
        (("--dim", "0"), "--dim"),
        (("--dim", "77"), "no vector in the database has that many; there are 1536"),
        (("--batch-size", "0"), "--batch-size"),
        (("--step", "6"), "must be 1 to 5"),
        (("--backup-tables",), "--backup FILE"),
        (("--down", "--drop-bytea"), "--down"),
        (("--down",), "no upgrade was begun"),
        (("--drop-bytea",), "no upgrade was begun"),
    ],
)
def test_a_bad_option_is_named_before_anything_is_done(
    owner: Home, old: Place, options: tuple[str, ...], said: str
) -> None:
    ran = owner.run("migrate", "--yes", *options)

    assert ran.status != 0
    assert said in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


def test_what_was_set_aside_is_listed_with_its_reason(postgres: Server, shared: Path, shared_home: Home) -> None:
    with an_old_place(postgres, shared, MIXED, 64) as old:
        owner = shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)
        before = owner.run("migrate", "--dry-run")
        assert owner.run("migrate", "--yes").status == 0
        said = owner.run("migrate", "status")
        listed = owner.run("migrate", "status", "--json").json["set_aside"]

    assert "1536 dimensions, not 256" in words(before)
    assert "1536 dimensions, the database has 256" in words(said)
    assert sum(one["count"] for one in listed if "dimensions" in one["reason"]) == 263


def test_going_back_and_dropping_ask_first(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0

    assert owner.run("migrate", "--drop-bytea").status == 1
    assert owner.run("migrate", "--down").status == 1
    with old.owner() as connection:
        assert connection.execute("SELECT count(v) FROM openmemory_old_public.openmemory_vectors").fetchone() == (715,)
    assert owner.run("migrate", "--down", "--yes").status == 0
    assert owner.run("migrate", "--dry-run").status == 0


def test_the_model_can_be_named_later_and_a_server_without_an_embedder_may_serve_any(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes").status == 0
    refused = owner.run("list")
    assert "--embedding-model NAME" in words(refused)
    assert "openmemory reembed" in words(refused)

    bare = owner.with_settings(OM_EMBEDDINGS="none", OM_VEC_DIM="1536")
    assert bare.run("list", "--tenant", "default").status == 0
    assert owner.run("migrate", "--embedding-model", "openai:text-embedding-3-small").status == 0
    assert "text-embedding-3-small" in words(owner.run("list"))


def test_a_step_is_printed_as_sql_and_nothing_is_changed(owner: Home, old: Place) -> None:
    ran = owner.run("migrate", "sql", "1", "--tenant", "acme")

    assert ran.status == 0, ran.err
    assert "CREATE SCHEMA" in ran.out
    assert "'acme'" in ran.out
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
    assert "must be 1 to 5" in words(owner.run("migrate", "sql", "9"))
