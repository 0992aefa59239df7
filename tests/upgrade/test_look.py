"""What is seen of an old database before anything is done to it."""

from dataclasses import replace
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import patient
from openmemory.postgres.registry import facts
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.standing import aside, kept_bytes, name_model
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place
from tests.upgrade.shapes import SHAPES, reshape

NAME = "legacy-pre-pgvector"
SAID = {
    "v1.1": "OpenMemory 1.1: 13 columns of memories, no users",
    "upstream's runner": "upstream's own migration died half way: read from embedding only where v is null",
    "v is a vector": "after upstream's own migration: v is vector(1536)",
    "ids are text": "OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes",
    "ids of vectors": "OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes",
    "temporal facts": "OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes, with temporal facts",
}


@pytest.mark.parametrize(
    ("name", "shape", "dimensions"),
    [
        (NAME, "OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes", {1536: 715}),
        ("legacy-v1.2.0", "OpenMemory 1.2.0: vectors and waypoints without users", {256: 265}),
    ],
)
def test_a_recorded_database_is_known_by_its_catalogue_and_its_rows_are_counted(
    postgres: Server, shared: Path, name: str, shape: str, dimensions: dict[int, int]
) -> None:
    with an_old_place(postgres, shared, name, 64) as old:
        found = look(old.logins.owner, old.names)
        report = upgrade(old.logins.owner, replace(old.names, dimension=found.dimension), Plan(found.dimension))
    assert found.shape == shape
    assert found.dimensions == dimensions
    assert [found.dimension] == list(dimensions)
    assert "openmemory_embed_logs" in found.left_alone
    assert (found.upgrade, found.writers) == ({}, ())
    assert found.rows["memories"] == report.rows["memories"]
    assert found.kept_back(found.dimension) == report.set_aside


def test_vectors_are_known_where_pgvector_is_in_a_schema_of_its_own(old: Place, shared: Path) -> None:
    with old.owner() as connection:
        reshape(connection, "v is a vector already, with tenants and projects")
        connection.execute("CREATE SCHEMA extensions; ALTER EXTENSION vector SET SCHEMA extensions")

    found = look(old.logins.owner, old.names)
    upgrade(old.logins.owner, old.names, Plan(found.dimension))

    assert found.shape == "after upstream's own migration: v is vector(1536)"
    assert (found.dimensions, found.dimension) == ({1536: 715}, 1536)
    with old.owner() as connection:
        connection.execute("SET search_path = public, extensions")
        query = "SELECT count(*) FROM openmemory_vectors WHERE vector_dims(embedding) = 1536"
        assert connection.execute(query).fetchone() == (715,)


def test_work_of_the_owners_has_no_limit_of_the_logins(old: Place) -> None:
    with old.owner() as connection:
        database = sql.Identifier(str(old.logins.owner["dbname"]))
        for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = '1h'").format(database, sql.Identifier(limit)))

    with patient(old.logins.owner) as connection:
        query = "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
        assert connection.execute(query).fetchone() == ("0", "0")


def test_the_most_frequent_dimension_is_the_databases_own(postgres: Server, shared: Path) -> None:
    with an_old_place(postgres, shared, "legacy-pre-pgvector-mixed-dims", 64) as old:
        found = look(old.logins.owner, old.names)
    assert found.dimension == 256
    assert sum(count for size, count in found.dimensions.items() if size != 256) == 263
    assert sum(found.kept_back(256).values()) >= 263


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_named(old: Place, shape: str) -> None:
    with old.owner() as connection:
        reshape(connection, shape)
    found = look(old.logins.owner, old.names)
    assert found.shape == next(said for known, said in SAID.items() if shape.startswith(known))
    assert found.dimensions == {1536: 715}


def test_an_embedding_without_bytes_is_read_from_there(old: Place) -> None:
    with old.owner() as connection:
        reshape(connection, "v is a vector already, with tenants and projects")
        connection.execute("ALTER TABLE openmemory_vectors RENAME v TO embedding")
    assert look(old.logins.owner, old.names).shape == "after upstream's own migration: embedding is vector(1536)"


def test_tables_are_looked_for_under_the_names_of_the_settings(old: Place) -> None:
    names = replace(old.names, schema="Agent's %", memories="Erinnerungen", vectors="mem.vectors")
    with old.owner() as connection:
        connection.execute('CREATE SCHEMA "Agent\'s %"')
        for table, name in (("memories", "Erinnerungen"), ("vectors", "mem.vectors"), ("waypoints", None)):
            source = sql.Identifier(f"openmemory_{table}")
            connection.execute(sql.SQL('ALTER TABLE {} SET SCHEMA "Agent\'s %"').format(source))
            if name:
                moved = sql.Identifier(names.schema, f"openmemory_{table}")
                connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(moved, sql.Identifier(name)))
    found = look(old.logins.owner, names)
    assert (found.rows["memories"], found.rows["vectors"], "users" in found.rows) == (568, 715, False)


def test_what_cannot_come_across_is_counted_beforehand_in_the_words_of_the_quarantine(old: Place) -> None:
    with old.owner() as connection:
        for value, sector in (
            ("'\\x00'", "odd"),
            ("'\\x0000807f' || substr(v, 5)", "infinite"),
            ("substr(v, 1, 6140) || '\\x0100c0ff'", "nan"),
            ("NULL", "null"),
            ("substr(v, 1, 64)", "short"),
            ("''::bytea", "empty"),
        ):
            connection.execute(
                f"INSERT INTO openmemory_vectors (id, sector, user_id, v, dim) SELECT id, '{sector}', user_id, {value},"
                " dim FROM openmemory_vectors LIMIT 1".encode()
            )
        connection.execute("INSERT INTO openmemory_vectors SELECT gen_random_uuid(), sector, user_id, v, dim"
                           " FROM openmemory_vectors WHERE octet_length(v) = 6144 LIMIT 2")  # fmt: skip
    found = look(old.logins.owner, old.names)
    told = found.kept_back(1536)
    came = upgrade(old.logins.owner, old.names, Plan(1536)).set_aside
    wanted = {
        "vectors: no memory has this id": 2,
        "vectors: no value": 1,
        "vectors: length is not a multiple of 4 bytes": 1,
        "vectors: holds NaN": 1,
        "vectors: holds infinity": 1,
        "vectors: 16 dimensions, the database has 1536": 1,
        "vectors: 0 dimensions, the database has 1536": 1,
    }
    for said in (told, came):
        assert {what: count for what, count in said.items() if what.startswith("vectors")} == wanted


def test_a_server_that_writes_is_named_and_an_owners_tool_that_reads_is_not(old: Place) -> None:
    with old.owner() as writer, old.owner() as reader, old.owner() as holder:
        reader.execute("SET application_name = 'pg_dump'")
        writer.execute("SET application_name = 'old-server'")
        writer.execute('UPDATE "public"."openmemory_memories" SET salience = salience WHERE false')
        reader.execute("SELECT id FROM openmemory_memories FOR UPDATE")
        with reader.cursor().copy("COPY openmemory_users TO STDOUT") as copied:
            assert len(list(copied)) == 9
        with holder.transaction():
            holder.execute("LOCK TABLE openmemory_vectors IN ROW EXCLUSIVE MODE")
            holder.execute("SELECT 1")
            found = look(old.logins.owner, old.names)
        pids = {writer.info.backend_pid, holder.info.backend_pid}
    assert {session.pid for session in found.writers} == pids
    assert {(session.application, session.state) for session in found.writers} >= {("old-server", "idle")}
    assert look(old.logins.owner, old.names).writers == ()


@pytest.mark.parametrize(
    ("application", "last", "is_likely", "is_doubtful"),
    [
        ("", "SELECT * FROM openmemory_memories WHERE user_id = 'bob'", True, False),
        ("", 'SELECT id FROM "public"."openmemory_vectors" LIMIT 1', True, False),
        ("", "SELECT 1", False, True),
        ("", None, False, False),
        ("dashboards", "SELECT count(*) FROM openmemory_memories", False, True),
        ("dashboards", "SELECT count(*) FROM openmemory_embed_logs", False, True),
        ("node", 'SELECT * FROM "public"."stats" WHERE type = \'x\'', False, True),
        ("node", "CREATE INDEX IF NOT EXISTS stats_ts_idx ON stats(ts)", False, True),
        ("node", "/* ping */ SELECT 1", False, True),
        ("node", "SELECT now()", False, True),
        ("node", "SET statement_timeout = 0", False, True),
        ("node", "DISCARD ALL", False, True),
        ("node", "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", False, True),
        ("node", None, False, False),
        ("dashboards", "SELECT count(*) FROM pg_class AS stats", False, False),
        ("pgbouncer", "SELECT usename, passwd FROM pg_shadow WHERE usename = 'x'", False, False),
        ("monitor", "SELECT pg_is_in_recovery()", False, False),
        ("monitor", "SELECT datname, numbackends FROM pg_stat_database", False, False),
        ("monitor", "SHOW max_connections", False, False),
        ("listener", "LISTEN changes", False, False),
        ("datadog-agent", "SELECT 1", False, False),
        ("Grafana", "SELECT count(*) FROM openmemory_memories", False, False),
        ("postgres_exporter", "SELECT 1", False, False),
        ("Grafana", "DELETE FROM openmemory_users WHERE false", True, False),
        ("psql", "SELECT count(*) FROM openmemory_memories", False, False),
        ("pgAdmin 4 - CONN:1", "SELECT count(*) FROM openmemory_memories", False, False),
        ("psql", "DELETE FROM openmemory_users WHERE false", True, False),
        ("psql", "COMMIT", False, False),
        ("DBeaver 24 - Main", "ROLLBACK", False, False),
        ("pool", "COMMIT", True, False),
        ("openmemory-direct", "SELECT count(*) FROM openmemory_memories", False, False),
        ("openmemory serve public", "COMMIT", False, False),
    ],
)
def test_an_idle_session_is_an_old_servers_by_its_name_and_what_it_last_said(
    old: Place, application: str, last: LiteralString | None, is_likely: bool, is_doubtful: bool
) -> None:
    with psycopg.connect(**old.logins.owner, application_name=application, autocommit=True) as idle:  # type: ignore[arg-type]
        pid = idle.info.backend_pid
        if last:
            idle.execute(last)
        found = look(old.logins.owner, old.names)

    assert [session.pid for session in found.writers] == [pid] * is_likely
    assert [session.pid for session in found.doubtful] == [pid] * is_doubtful


def test_it_is_said_when_statements_of_others_are_hidden(old: Place) -> None:
    role = old.with_role()
    with old.owner() as other:
        for table in ("memories", "vectors", "waypoints", "users"):
            other.execute(f'GRANT SELECT ON openmemory_{table} TO "{role}"'.encode())
        assert look(old.as_role(role), old.names).hidden_sessions >= 1
    assert look(old.logins.owner, old.names).hidden_sessions == 0


def test_an_upgrade_that_was_begun_is_told_with_its_dimension(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536, tenant="acme"), only=STEPS[0])
    found = look(old.logins.owner, replace(old.names, dimension=64))
    assert (found.upgrade["tenant"], found.upgrade["step"], found.dimension) == ("acme", "001", 1536)
    assert "openmemory_upgrade" not in found.left_alone


def test_nothing_is_changed_by_looking(old: Place) -> None:
    reading = {**old.logins.owner, "options": "-c default_transaction_read_only=on"}
    assert look(reading, old.names).rows == {"memories": 568, "vectors": 715, "waypoints": 568, "users": 9}


def test_an_empty_database_of_upstreams_has_the_dimension_of_the_settings(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("TRUNCATE openmemory_memories, openmemory_vectors, openmemory_waypoints")
    found = look(old.logins.owner, replace(old.names, dimension=64))
    assert (found.dimension, found.dimensions, found.rows["vectors"]) == (64, {}, 0)


def test_what_was_set_aside_and_kept_is_listed(postgres: Server, shared: Path) -> None:
    with an_old_place(postgres, shared, "legacy-pre-pgvector-mixed-dims", 256) as old:
        upgrade(old.logins.owner, old.names, Plan(256))
        listed = [one for one in aside(old.logins.owner, old.names) if "dimensions" in one.reason]
        kept = kept_bytes(old.logins.owner, old.names)
    assert sum(one.count for one in listed) == 263
    assert all(0 < len(one.first_ids) <= 3 for one in listed)
    assert kept["openmemory_vectors"] > 0


def test_a_model_can_be_named_after_the_upgrade(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert facts(old.logins.owner, old.names)["embedding_model"] == "unknown"

    name_model(old.logins.owner, old.names, "openai:it's %s")

    assert facts(old.logins.owner, old.names)["embedding_model"] == "openai:it's %s"


def test_a_login_that_may_not_read_is_told_so(old: Place) -> None:
    role = old.with_role()
    with pytest.raises(ConfigurationError, match="permission denied for table"):
        look(old.as_role(role), old.names)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(**old.as_role(role)) as connection:  # type: ignore[arg-type]
        connection.execute("SELECT 1 FROM openmemory_memories")
