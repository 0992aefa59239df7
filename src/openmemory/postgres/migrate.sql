-- name: tables
-- The tables of the schema, ours and others'.
SELECT tablename AS name
  FROM pg_tables
 WHERE schemaname = %(schema)s;

-- name: schema
SELECT nspname AS name
  FROM pg_namespace
 WHERE nspname = %(schema)s;

-- name: create_schema
CREATE SCHEMA {schema};

-- name: create
CREATE TABLE IF NOT EXISTS {migrations} (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT number, name, checksum
  FROM {migrations}
 ORDER BY number;

-- name: record
INSERT INTO {migrations} (number, name, checksum)
VALUES (%(number)s, %(name)s, %(checksum)s);
