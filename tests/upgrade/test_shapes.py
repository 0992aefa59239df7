"""The shapes that old databases have, made from a recorded one; each is lifted like it, bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import down, drop_bytea
from tests.postgres.databases import Place
from tests.upgrade.old_databases import verify

NAME = "legacy-pre-pgvector"
SHAPES = {
    "v1.1: 13 columns of memories, no users": """
        ALTER TABLE openmemory_memories
            DROP COLUMN user_id, DROP COLUMN segment, DROP COLUMN simhash, DROP COLUMN compressed_vec,
            DROP COLUMN feedback_score;
        ALTER TABLE openmemory_vectors DROP COLUMN user_id;
        ALTER TABLE openmemory_waypoints DROP COLUMN user_id, ADD PRIMARY KEY (src_id);
        DROP TABLE openmemory_users;
    """,
    "upstream's runner died half way: garbage beside the bytes": """
        CREATE EXTENSION vector;
        ALTER TABLE openmemory_memories ADD COLUMN tenant_id text DEFAULT 'default';
        ALTER TABLE openmemory_vectors ADD COLUMN tenant_id text DEFAULT 'default', ADD COLUMN embedding vector(1536);
        ALTER TABLE openmemory_waypoints ADD COLUMN tenant_id text DEFAULT 'default';
        ALTER TABLE openmemory_users ADD COLUMN tenant_id text DEFAULT 'default';
        UPDATE openmemory_vectors SET embedding = array_fill(3, ARRAY[1536])::vector WHERE sector = 'semantic';
    """,
    "v is a vector already, with tenants and projects": """
        CREATE EXTENSION vector;
        ALTER TABLE openmemory_memories
            ADD COLUMN tenant_id text NOT NULL DEFAULT 'default', ADD COLUMN project_id text,
            DROP CONSTRAINT openmemory_memories_pkey, ADD PRIMARY KEY (tenant_id, id);
        ALTER TABLE openmemory_vectors ADD COLUMN tenant_id text NOT NULL DEFAULT 'default', ADD COLUMN project_id text;
        CREATE FUNCTION floats(v bytea) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
            SELECT ('[' || string_agg(x::text, ',' ORDER BY i) || ']')::vector
              FROM (SELECT i, CASE WHEN b & 2147483647 = 0 THEN 0::float4
                                   ELSE (CASE WHEN b < 0 THEN -1 ELSE 1 END
                                         * (CASE b & 2139095040 WHEN 0 THEN b & 8388607
                                            ELSE b & 8388607 | 8388608 END)
                                         * 2::float8 ^ (greatest((b & 2139095040) >> 23, 1) - 150))::float4 END AS x
                      FROM (SELECT i, ('x' || encode(substr(v, 4*i+4, 1) || substr(v, 4*i+3, 1) || substr(v, 4*i+2, 1)
                                                    || substr(v, 4*i+1, 1), 'hex'))::bit(32)::int AS b
                              FROM generate_series(0, length(v) / 4 - 1) AS i) AS bits) AS xs $$;
        ALTER TABLE openmemory_vectors ALTER COLUMN v TYPE vector(1536) USING floats(v);
        DROP FUNCTION floats;
    """,
    "ids are text": """
        ALTER TABLE openmemory_memories ALTER COLUMN id TYPE text;
        ALTER TABLE openmemory_vectors ALTER COLUMN id TYPE text;
    """,
    "ids of vectors are text, those of memories are not": """
        ALTER TABLE openmemory_vectors ALTER COLUMN id TYPE text;
        INSERT INTO openmemory_vectors SELECT 'no uuid', sector, user_id, v, dim FROM openmemory_vectors LIMIT 1;
    """,
    "temporal facts and edges that refer to them": """
        CREATE TABLE temporal_facts (id text PRIMARY KEY, subject text NOT NULL, predicate text NOT NULL,
            object text NOT NULL, valid_from bigint NOT NULL, valid_to bigint, confidence double precision NOT NULL,
            last_updated bigint NOT NULL, metadata text, UNIQUE (subject, predicate, object, valid_from));
        CREATE TABLE temporal_edges (id text PRIMARY KEY, source_id text REFERENCES temporal_facts (id),
            target_id text REFERENCES temporal_facts (id));
        INSERT INTO temporal_facts VALUES ('a', 'Ada', 'likes', 'tea', 1, NULL, 1, 1, NULL),
            ('b', 'Ada', 'likes', 'coffee', 1000, NULL, 1, 1000, '{"from": "chat"}');
        INSERT INTO temporal_edges VALUES ('e', 'a', 'b');
    """,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_known_shape_is_lifted_bit_for_bit_and_can_go_back(old: Place, shared: Path, shape: str) -> None:
    with old.owner() as connection:
        connection.execute(SHAPES[shape].encode())
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
