"""Step 003 as psql runs it: plain SQL that reads the old bytes, batch by batch."""

import gzip
import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import Connection

from openmemory.postgres.migrate import migrate
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.sources import create_views
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import RECORDED, an_old_place, dsn, program

STEP = "003_convert_vectors_to_pgvector"
SCRIPT = Path(__file__).parents[2] / "src/openmemory/postgres/upgrade" / f"{STEP}.sql"
PATIENCE_S = 60
SMALLEST_BATCHES = "CALL openmemory_new_public.openmemory_convert_vectors(1);"
DIMENSIONS = {"legacy-pre-pgvector": 1536, "legacy-v1.2.0": 256, "legacy-pre-pgvector-mixed-dims": 256}

# What the step needs of step 2, without the details of the memories.
STEP_2 = """
CREATE FUNCTION {staging}.as_id(old text) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN old::uuid;
CREATE FUNCTION {staging}.as_tenant(old_tenant text, old_user text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN {tenant_from_user} THEN coalesce(old_user, {tenant}) ELSE {tenant} END;
INSERT INTO {memories} (tenant_id, id, user_id, content, primary_sector, sectors, salience, salience_at, decay_rate,
                        occurred_at, last_seen_at, created_at, updated_at)
SELECT {staging}.as_tenant(tenant_id, user_id), {staging}.as_id(id), user_id, content, primary_sector, 31, 0.5, now(),
       0, now(), now(), now(), now()
  FROM {old_memories};
CREATE UNIQUE INDEX {memories_pkey} ON {memories} (tenant_id, id);
"""
OWNERS = "CREATE VIEW {old_owners} AS SELECT raw_id, id, tenant_id, user_id, project_id FROM {old_memories}"

OWN_EVERYTHING = """
DO $$
DECLARE
    relation regclass;
BEGIN
    ALTER SCHEMA openmemory_new_public OWNER TO {role};
    FOR relation IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')
                       AND relnamespace IN ('public'::regnamespace, 'openmemory_new_public'::regnamespace) LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {role}', relation);
    END LOOP;
END
$$
"""


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_database_is_converted_bit_for_bit(postgres: Server, shared: Path, name: str) -> None:
    expected = recorded(shared, name)
    with a_staged_place(postgres, shared, name) as (place, layout):
        psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

        converted, aside = what_came_of_it(place)

    wanted = {key: row["sha256_le_f32"] for key, row in expected.items()}
    fits = {key for key, row in expected.items() if row["dim"] == DIMENSIONS[name]}
    assert {key for key, digest in converted.items() if digest is not None} == fits
    assert {key: converted[key] for key in fits} == {key: wanted[key] for key in fits}
    assert set(converted) == set(expected)
    assert {key: digest for key, (digest, _) in aside.items()} == {key: wanted[key] for key in set(expected) - fits}
    assert all(f"{expected[key]['dim']} dimensions" in reason for key, (_, reason) in aside.items())


@pytest.fixture
def staged(postgres: Server, shared: Path) -> Iterator[tuple[Place, Layout]]:
    """Yield the smallest recorded database, ready for the step."""
    with a_staged_place(postgres, shared, "legacy-v1.2.0") as made:
        yield made


def test_a_conversion_that_is_killed_goes_on_and_doubles_nothing(staged: tuple[Place, Layout], shared: Path) -> None:
    place, layout = staged
    script = script_without_call(layout)
    kill_after_batches(place, script, batches=2)
    with place.owner() as connection:
        done_before_the_kill = count(connection, "openmemory_new_public.openmemory_vectors")

    psql(place, script + SMALLEST_BATCHES)
    said = psql(place, script + SMALLEST_BATCHES)

    converted, aside = what_came_of_it(place)
    expected = recorded(shared, "legacy-v1.2.0")
    assert 0 < done_before_the_kill < len(expected)
    assert converted == {key: row["sha256_le_f32"] for key, row in expected.items()}
    assert not aside
    assert "a second" not in said


def test_each_row_that_cannot_be_converted_is_set_aside_and_still_found_by_its_words(
    staged: tuple[Place, Layout],
) -> None:
    place, layout = staged
    with place.owner() as connection:
        keys = connection.execute("SELECT id, sector FROM openmemory_vectors ORDER BY id, sector LIMIT 4").fetchall()
        values = [None, b"\0" * 7, np.full(256, np.nan, "<f4").tobytes()]
        for key, value in zip(keys, values, strict=False):
            connection.execute("UPDATE openmemory_vectors SET v = %b WHERE id = %b AND sector = %b", (value, *key))
        connection.execute("DELETE FROM openmemory_new_public.openmemory_memories WHERE id = %b", keys[3][:1])

    psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

    with place.owner() as connection:
        aside = connection.execute("SELECT v, reason FROM openmemory_vector_quarantine WHERE id = ANY(%b)",
                                   [[key[0] for key in keys]]).fetchall()  # fmt: skip
        empty = connection.execute(
            "SELECT id, sector FROM openmemory_new_public.openmemory_vectors WHERE embedding IS NULL"
        ).fetchall()
    reasons = {reason: value for value, reason in aside}
    assert reasons["no value"] is None
    assert reasons["length is not a multiple of 4 bytes"] == values[1]
    assert reasons["holds NaN"] == values[2]
    assert "no memory has this id" in reasons
    assert sorted(empty) == sorted(keys[:3])


@pytest.mark.parametrize("shape", ["v is a vector", "only embedding", "embedding is garbage"])
def test_the_values_are_read_from_where_this_shape_has_them(
    staged: tuple[Place, Layout], shared: Path, shape: str
) -> None:
    place, layout = staged
    with place.owner() as connection:
        if shape == "embedding is garbage":
            connection.execute("ALTER TABLE openmemory_vectors ADD embedding vector(256)")
            connection.execute("UPDATE openmemory_vectors SET embedding = array_fill(1, ARRAY[256])::vector")
        else:
            turn_into_vectors(connection, layout, "v" if shape == "v is a vector" else "embedding")
        connection.execute(layout.render("DROP VIEW {old_owners}").encode())
        create_views(connection, layout)
        connection.execute(layout.render(OWNERS).encode())

    psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

    converted, _ = what_came_of_it(place)
    assert converted == {key: row["sha256_le_f32"] for key, row in recorded(shared, "legacy-v1.2.0").items()}


def test_with_a_tenant_a_user_each_vector_follows_its_memory(postgres: Server, shared: Path) -> None:
    with a_staged_place(postgres, shared, "legacy-v1.2.0", tenant_from_user=True) as (place, layout):
        psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

        with place.owner() as connection:
            tenants = connection.execute(
                "SELECT v.tenant_id, coalesce(m.user_id, 'default') FROM openmemory_new_public.openmemory_vectors v"
                " JOIN openmemory_memories m ON m.id = v.id"
            ).fetchall()
    assert len({tenant for tenant, _ in tenants}) > 1
    assert all(tenant == user for tenant, user in tenants)
    assert len(tenants) == len(recorded(shared, "legacy-v1.2.0"))


def test_a_memory_without_any_vector_is_found_by_its_words_and_listed(staged: tuple[Place, Layout]) -> None:
    place, layout = staged
    with place.owner() as connection:
        bare = "SELECT min(id::text)::uuid FROM openmemory_memories"
        connection.execute(f"DELETE FROM openmemory_vectors WHERE id = ({bare})".encode())
        for _ in range(2):
            psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))
        empty = connection.execute(
            "SELECT m.id, m.primary_sector FROM openmemory_new_public.openmemory_vectors v"
            " JOIN openmemory_memories m ON m.id = v.id AND m.primary_sector = v.sector WHERE v.embedding IS NULL"
        ).fetchall()
        aside = connection.execute("SELECT id, sector, reason FROM openmemory_vector_quarantine").fetchall()

    assert len(empty) == 1
    assert aside == [(*empty[0], "no value")]


def test_an_owner_of_the_tables_who_is_no_superuser_may_convert_them(
    staged: tuple[Place, Layout], shared: Path
) -> None:
    place, layout = staged
    role = place.with_role()
    with place.owner() as connection:
        connection.execute(OWN_EVERYTHING.replace("{role}", role).encode())

    psql(place, f"SET ROLE {role};" + layout.render(SCRIPT.read_text(encoding="utf-8")))

    converted, _ = what_came_of_it(place)
    with place.owner() as connection:
        connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}".encode())
    assert len(converted) == len(recorded(shared, "legacy-v1.2.0"))


def a_layout(place: Place, dimension: int, *, tenant_from_user: bool = False) -> Layout:
    """Return the layout of an upgrade of the place."""
    return Layout(place.names, Plan(dimension=dimension, tenant_from_user=tenant_from_user))


@contextmanager
def a_staged_place(
    postgres: Server, shared: Path, name: str, *, tenant_from_user: bool = False
) -> Iterator[tuple[Place, Layout]]:
    """Yield a recorded database after steps 1 and 2."""
    with an_old_place(postgres, shared, name, DIMENSIONS[name]) as place:
        layout = a_layout(place, DIMENSIONS[name], tenant_from_user=tenant_from_user)
        with place.owner() as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"CREATE ROLE {place.names.app_role}".encode())
            migrate(place.logins.owner, layout.staging)
            for block in ("record", "quarantine", "unkey"):
                connection.execute(layout.block("001_enable_pgvector", block).encode())
            connection.execute(layout.block("session", "functions").encode())
            create_views(connection, layout)
            connection.execute(layout.render(STEP_2).encode())
            connection.execute(layout.render(OWNERS).encode())
        yield place, layout


def script_without_call(layout: Layout) -> str:
    """Return the functions of the step alone."""
    blocks = layout.blocks(STEP)
    return "".join(text for name, text in blocks.items() if name != "convert")


def turn_into_vectors(connection: Connection, layout: Layout, column: str) -> None:
    """Make the old table one whose values are pgvector's."""
    for block in ("session", "floats"):
        connection.execute(layout.block(STEP, block).encode())
    connection.execute("DROP VIEW openmemory_new_public.old_vectors CASCADE")
    connection.execute(
        "ALTER TABLE public.openmemory_vectors ALTER v TYPE vector(256)"
        " USING openmemory_new_public.openmemory_vector_of(v)::vector"
    )
    if column != "v":
        connection.execute(f"ALTER TABLE public.openmemory_vectors RENAME v TO {column}".encode())


def psql(place: Place, script: str) -> str:
    """Run a script as an owner would; returns the notices."""
    command = [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", dsn(place)]
    done = subprocess.run(
        command, input=script, capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def kill_after_batches(place: Place, script: str, batches: int) -> None:
    """Convert in the smallest batches, and end the session within the batch after so many."""
    with psycopg.connect(dsn(place), autocommit=True) as victim, place.owner() as killer:
        for part in ("SET client_min_messages = notice", script):
            victim.execute(part.encode())
        seen: list[str] = []

        def kill(notice: psycopg.errors.Diagnostic) -> None:
            seen.append(notice.message_primary or "")
            if len(seen) == batches:
                killer.execute("SELECT pg_terminate_backend(%b)", [victim.info.backend_pid])

        victim.add_notice_handler(kill)
        with pytest.raises(psycopg.OperationalError):
            victim.execute(SMALLEST_BATCHES)


def recorded(shared: Path, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is known of each old vector, by id and sector."""
    with gzip.open(shared / "legacy" / f"{name}-expected-vectors.jsonl.gz", "rt", encoding="utf-8") as lines:
        return {(row["id"], row["sector"]): row for row in map(json.loads, lines)}


def what_came_of_it(
    place: Place,
) -> tuple[dict[tuple[str, str], str | None], dict[tuple[str, str], tuple[str, str]]]:
    """Return the digests of the new vectors, with digest and reason what was set aside; neither has one twice."""
    with place.owner() as connection:
        rows = connection.execute(
            "SELECT id::text, sector, embedding::real[] FROM openmemory_new_public.openmemory_vectors", binary=True
        ).fetchall()
        aside = connection.execute("SELECT id::text, sector, v, reason FROM openmemory_vector_quarantine").fetchall()
    assert max(Counter(row[:2] for row in rows).values()) == 1
    assert len({row[:2] for row in aside}) == len(aside)
    converted = {
        (id_, sector): None if value is None else digest(np.array(value, "<f4").tobytes())
        for id_, sector, value in rows
    }
    return converted, {(id_, sector): (digest(value), reason) for id_, sector, value, reason in aside}


def digest(value: bytes) -> str:
    """Return the digest that the recorded vectors are known by."""
    return hashlib.sha256(value).hexdigest()


def count(connection: Connection, table: str) -> int:
    """Return how many rows a table has."""
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])
