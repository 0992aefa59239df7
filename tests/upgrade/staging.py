"""Recorded databases after steps 1 and 2, and step 003 on them as psql runs it."""

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
from tests.upgrade.old_databases import an_old_place, dsn, program

STEP = "003_convert_vectors_to_pgvector"
PATIENCE_S = 60
SMALLEST_BATCHES = "CALL openmemory_new_public.openmemory_convert_vectors(1);"
DIMENSIONS = {"legacy-pre-pgvector": 1536, "legacy-v1.2.0": 256, "legacy-pre-pgvector-mixed-dims": 256}

# What the step needs of step 2, without the details of the memories.
STEP_2 = """
CREATE FUNCTION {staging}.as_id(old text) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN old::uuid;
CREATE FUNCTION {staging}.as_tenant(old_tenant text, old_user text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN {tenant_from_user} THEN coalesce(old_user, {tenant}) ELSE {tenant} END;
CREATE FUNCTION {staging}.names_another(own text, old_tenant text, new_tenant text) RETURNS boolean LANGUAGE sql
    RETURN false;
INSERT INTO {memories} (tenant_id, id, user_id, content, primary_sector, sectors, salience, salience_at, decay_rate,
                        occurred_at, last_seen_at, created_at, updated_at)
SELECT {staging}.as_tenant(tenant_id, user_id), {staging}.as_id(id), user_id, content, primary_sector, 31, 0.5, now(),
       0, now(), now(), now(), now()
  FROM {old_memories};
CREATE UNIQUE INDEX {memories_pkey} ON {memories} (tenant_id, id);
"""
OWNERS = "CREATE VIEW {old_owners} AS SELECT raw_id, id, tenant_id, user_id, project_id FROM {old_memories}"


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
