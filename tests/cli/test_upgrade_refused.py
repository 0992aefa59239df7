"""What stops `migrate` on an old database before anything is done to it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.locks import the_only_one
from openmemory.postgres.upgrade import refusals
from openmemory.postgres.upgrade.look import look
from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.databases import Place


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


def test_an_id_that_two_tenants_have_is_named_before_anything_is_done(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute(
            "ALTER TABLE openmemory_memories ADD tenant_id text NOT NULL DEFAULT 'default',"
            " DROP CONSTRAINT openmemory_memories_pkey, ADD PRIMARY KEY (tenant_id, id)"
        )
        connection.execute("CREATE TEMP TABLE copied AS SELECT * FROM openmemory_memories LIMIT 3")
        connection.execute("UPDATE copied SET tenant_id = 'acme'; INSERT INTO openmemory_memories SELECT * FROM copied")

    ran = owner.run("migrate", "--dry-run")

    assert ran.status == 1
    assert "3 ids of memories are there more than once" in words(ran)
    assert "of another tenant" in words(ran)


def test_a_tenant_that_no_request_can_bring_is_refused_in_the_same_words_by_migrate_and_its_sql(
    owner: Home, old: Place
) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD tenant_id text NOT NULL DEFAULT 'x,y'")

    ran, printed = owner.run("migrate", "--yes"), owner.run("migrate", "sql", "1", "--dim", "1536")

    assert "1 tenants whose names no request may bring" in words(ran)
    assert (ran.status, printed.status, printed.out, printed.err) == (1, 1, "", ran.err)


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

        for answer in ("--dry-run", "--yes"):
            ran = owner.run("migrate", answer)

            assert ran.status == 1
            assert f"under a name of the new tables: {name}" in words(ran)
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)
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


def test_an_old_database_under_other_names_is_told_before_a_new_one_is_made(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute(
            "CREATE SCHEMA legacy; ALTER TABLE openmemory_memories RENAME TO notes;"
            "ALTER TABLE openmemory_vectors RENAME TO note_vectors"
        )
        for table in ("notes", "note_vectors", "openmemory_waypoints", "openmemory_users"):
            connection.execute(f"ALTER TABLE {table} SET SCHEMA legacy".encode())
    told = "legacy has a table notes of an older OpenMemory (OM_PG_SCHEMA=legacy OM_PG_TABLE=notes)"

    looked, asked, served = (owner.run("migrate", "--dry-run"), owner.run("migrate", stdin="n\n"), owner.run("list"))

    assert (looked.status, asked.status, served.status) == (0, 1, 1)
    assert told in words(looked)
    assert told in words(asked)
    assert "Set OM_PG_SCHEMA=legacy OM_PG_TABLE=notes; or have new" in words(served)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_memories')").fetchone() == (None,)
    ran = owner.run("migrate", "--yes")
    assert ran.status == 0
    assert told in words(ran)
    assert told not in words(owner.run("migrate", "--yes"))


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


def test_a_server_between_two_questions_is_refused_also_where_yes_was_said(owner: Home, old: Place) -> None:
    with psycopg.connect(autocommit=True, **old.logins.owner) as idle:  # type: ignore[arg-type]
        idle.execute("SELECT id FROM openmemory_memories ORDER BY created_at DESC LIMIT 10")
        ran, pid = owner.run("migrate", "--yes"), idle.info.backend_pid

    assert ran.status == 1
    assert f"or may: pid {pid} (" in words(ran)


def test_of_a_session_that_may_be_a_servers_or_not_the_question_tells(owner: Home, old: Place) -> None:
    with psycopg.connect(application_name="dashboards", autocommit=True, **old.logins.owner) as idle:  # type: ignore[arg-type]
        idle.execute("SELECT count(*) FROM openmemory_memories")
        asked, pid = owner.run("migrate", stdin="n\n"), idle.info.backend_pid
        told = owner.run("migrate", "--yes", "--step", "1")

    for ran in (asked, told):
        assert f"these may be one's: pid {pid} (dashboards" in words(ran)
    assert (asked.status, told.status) == (1, 0)


def test_who_holds_a_table_that_must_be_read_is_named_instead_of_waited_for(
    old: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LOCK_TIMEOUT", "100ms")
    with old.owner() as holder, holder.transaction():
        holder.execute("LOCK TABLE openmemory_memories IN ACCESS EXCLUSIVE MODE")
        named = rf"holds a lock on the old tables: .*pid {holder.info.backend_pid} .*Nothing was changed"

        with pytest.raises(ConfigurationError, match=named):
            look(old.logins.owner, old.names)


def test_another_migrator_at_work_is_told_before_anything_is_looked_at(owner: Home, old: Place) -> None:
    with old.owner() as other, the_only_one(other):
        ran = owner.run("migrate", "--dry-run")

    assert ran.status == 1
    assert "another `openmemory migrate` is at work" in words(ran)


def test_rows_that_are_written_meanwhile_are_noticed_whoever_writes_them(owner: Home, old: Place) -> None:
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            with old.owner() as short:
                short.execute("UPDATE openmemory_users SET reflection_count = reflection_count + 1")

    with ThreadPoolExecutor(1) as threads, psycopg.connect(application_name="quiet", **old.logins.owner):  # type: ignore[arg-type]
        writing = threads.submit(write)
        ran = owner.run("migrate", "--yes", "--ignore-sessions")
        stop.set()
        writing.result()

    assert ran.status == 1
    assert "were written while this looked" in words(ran)
    assert "(quiet," in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_upgrade')").fetchone() == (None,)


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


@pytest.mark.parametrize("command", [("serve", "--port", "8099"), ("list",)])
def test_nothing_else_makes_new_tables_beside_an_old_database(
    owner: Home, old: Place, command: tuple[str, ...]
) -> None:
    slip = owner.with_settings(OM_PG_SCHEMA="pubic")

    ran = slip.spawn(*command)

    assert ran.status == 1
    assert "Set OM_PG_SCHEMA=public; or have new, empty tables made in pubic: `openmemory migrate`" in words(ran)
    with old.owner() as connection:
        assert connection.execute("SELECT to_regnamespace('pubic')").fetchone() == (None,)
    assert slip.run("migrate", "--yes").status == 0
    assert slip.run("list").status == 0


def test_tenants_that_would_share_one_are_named_and_nothing_is_changed(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD tenant_id text DEFAULT 'default'")
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'Acme, Inc.' WHERE user_id = 'bob'")

    for options in (("--dry-run",), ("--yes",)):
        ran = owner.run("migrate", *options)
        assert ran.status == 1
        assert "would share a tenant: 'Acme, Inc.'" in words(ran)

    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'acme' WHERE tenant_id = 'Acme, Inc.'")
    assert owner.run("migrate", "--yes").status == 0
