"""Each shape that old databases have is lifted like the recorded one, bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import LiteralString

import pytest
from psycopg import Connection, sql

from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import down, drop_bytea
from tests.postgres.databases import Place
from tests.upgrade.old_databases import verify
from tests.upgrade.shapes import SHAPES, reshape

NAME = "legacy-pre-pgvector"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_known_shape_is_lifted_bit_for_bit_and_can_go_back(old: Place, shared: Path, shape: str) -> None:
    with old.owner() as connection:
        reshape(connection, shape)
    for _ in range(2):
        report = upgrade(old.logins.owner, old.names, Plan(1536))
        said = verify(old, shared, NAME)
        lost = {} if "no users" not in shape else {"openmemory_users": [9, 0]}
        assert (said["identical"], said["different"], said["missing"], said["extra"]) == (715, [], [], [])
        assert said["fell"] == lost
        assert "stats" in report.left_alone
        down(old.logins.owner, old.names)
    upgrade(old.logins.owner, old.names, Plan(1536))
    dropped = drop_bytea(old.logins.owner, old.names)
    assert len(dropped) == (2 if "edges" in shape else 0)


def test_a_database_so_large_that_postgresql_works_in_parallel_is_lifted_and_back(old: Place, shared: Path) -> None:
    database = sql.Identifier(str(old.logins.owner["dbname"]))
    with old.owner() as connection:
        forced = connection.execute(
            "SELECT name FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode')"
        ).fetchone()
        assert forced is not None
        connection.execute(sql.SQL("ALTER DATABASE {} SET {} = on").format(database, sql.Identifier(str(forced[0]))))
        for step in STEPS[:3]:
            upgrade(old.logins.owner, old.names, Plan(1536), only=step)
        # PostgreSQL 18 lets them begin one; those before do not.
        subtransactions = "SELECT proname FROM pg_proc WHERE proparallel = 's' AND prosrc ~ 'EXCEPTION\\s+WHEN'"
        assert connection.execute(subtransactions).fetchall() == []
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert verify(old, shared, NAME)["identical"] == 715
    down(old.logins.owner, old.names)


@pytest.mark.parametrize("shape", ["", "ALTER COLUMN id TYPE text", "DROP CONSTRAINT openmemory_vectors_pkey"])
def test_the_vectors_of_a_memory_are_found_by_an_index_in_every_shape(old: Place, shape: LiteralString) -> None:
    with old.owner() as connection:
        if shape:
            connection.execute("ALTER TABLE openmemory_vectors " + shape)
        for step in STEPS[:2]:
            upgrade(old.logins.owner, old.names, Plan(1536), only=step)
        assert _is_found_by_an_index(connection, "old_sectors")


@pytest.mark.parametrize(
    "shape", ["", ", ADD COLUMN tenant_id text DEFAULT 'default', ADD PRIMARY KEY (tenant_id, id)"]
)
def test_whose_a_vector_is_is_found_by_an_index_in_every_shape(old: Place, shared: Path, shape: LiteralString) -> None:
    with old.owner() as connection:
        if shape:
            connection.execute("ALTER TABLE openmemory_memories DROP CONSTRAINT openmemory_memories_pkey" + shape)
        for step in STEPS[:2]:
            upgrade(old.logins.owner, old.names, Plan(1536), only=step)
        assert _is_found_by_an_index(connection, "old_owners")
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert verify(old, shared, NAME)["identical"] == 715


@pytest.mark.parametrize("schema", ["Agent Memory", "Agent's 100% {c}"])
def test_tables_of_other_names_in_another_schema_are_lifted_where_they_are(old: Place, schema: str) -> None:
    names = replace(old.names, schema=schema, memories="Erinnerungen", vectors="mem.vectors %s")
    count = sql.SQL("SELECT count({}) FROM {}")
    vectors = sql.Identifier(schema, names.vectors)
    with old.owner() as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        for table, name in (("memories", names.memories), ("vectors", names.vectors), ("waypoints", ""), ("users", "")):
            there = sql.Identifier(f"openmemory_{table}")
            moved = sql.Identifier(schema, f"openmemory_{table}")
            connection.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(there, sql.Identifier(schema)))
            if name:
                connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(moved, sql.Identifier(name)))
        upgrade(old.logins.owner, names, Plan(1536))
        assert connection.execute(count.format(sql.Identifier("embedding"), vectors)).fetchone() == (715,)
        down(old.logins.owner, names)
        assert connection.execute(count.format(sql.Identifier("v"), vectors)).fetchone() == (715,)


def test_tenants_that_are_there_already_stay(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD COLUMN tenant_id text DEFAULT 'default'")
        connection.execute("UPDATE openmemory_memories SET tenant_id = 'acme' WHERE user_id = 'bob'")
        upgrade(old.logins.owner, old.names, Plan(1536, tenant="rest"))
        found = connection.execute(
            "SELECT tenant_id, user_id = 'bob', count(*) > 0 FROM openmemory_memories GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
    assert found == [("acme", True, True), ("rest", False, True)]


def _is_found_by_an_index(connection: Connection, by_id: str) -> bool:
    """Return whether an index that begins with the id finds the rows of one, in a view or a table of step 2."""
    connection.execute("SET enable_seqscan = off")
    query = f"EXPLAIN SELECT FROM openmemory_new_public.{by_id} WHERE raw_id = md5('any')::uuid"
    plan = [line for (line,) in connection.execute(query.encode())]
    return any(line.strip().startswith(("Index Cond: (raw_id =", "Index Cond: (id =")) for line in plan)
