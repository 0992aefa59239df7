"""The shapes that old databases have, made from a recorded one."""

from typing import Any, LiteralString

import numpy as np
import psycopg

SHAPES: dict[str, LiteralString] = {
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
        CREATE EXTENSION IF NOT EXISTS vector;
        ALTER TABLE openmemory_memories
            ADD COLUMN tenant_id text NOT NULL DEFAULT 'default', ADD COLUMN project_id text,
            DROP CONSTRAINT openmemory_memories_pkey, ADD PRIMARY KEY (tenant_id, id);
        ALTER TABLE openmemory_vectors ADD COLUMN tenant_id text NOT NULL DEFAULT 'default', ADD COLUMN project_id text;
        CREATE FUNCTION floats(bytea) RETURNS vector LANGUAGE sql AS 'SELECT v FROM read WHERE bytes = $1';
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


def reshape(connection: "psycopg.Connection[Any]", shape: str) -> None:
    """Give the recorded old database another of the shapes that are known."""
    if "floats" in SHAPES[shape]:
        _read_floats(connection)
    connection.execute(SHAPES[shape])


def _read_floats(connection: "psycopg.Connection[Any]") -> None:
    """Put beside each vector's bytes what they say, read by other means than the upgrade's."""
    connection.execute("CREATE TEMPORARY TABLE read (bytes bytea, numbers text)")
    found = connection.execute("SELECT DISTINCT v FROM openmemory_vectors").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO read VALUES (%s, %s)", [(v, str(np.frombuffer(v, "<f4").tolist())) for (v,) in found]
        )
    connection.execute("CREATE EXTENSION vector")
    connection.execute("ALTER TABLE read ADD COLUMN v vector(1536)")
    connection.execute("UPDATE read SET v = numbers::vector")
