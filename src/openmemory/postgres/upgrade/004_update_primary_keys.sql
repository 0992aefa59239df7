-- 004: the keys that begin with the tenant. An index is built CONCURRENTLY and made the key afterwards, and a foreign
-- key is declared NOT VALID and proved afterwards, so that no lock is held while rows are read.

-- name: memories_key
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {memories_pkey} ON {memories} (tenant_id, id);

-- name: memories_primary
-- At once: where all tables are published (for logical replication), PostgreSQL refuses to change rows without a key.
DO $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass({staged_memories_text}) AND indisprimary) THEN
        ALTER TABLE {memories} ADD CONSTRAINT {memories_pkey} PRIMARY KEY USING INDEX {memories_pkey};
    END IF;
END
$body$;

-- name: vectors_key
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {vectors_pkey} ON {vectors} (tenant_id, id, sector);

-- name: vectors_primary
DO $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass({staged_vectors_text}) AND indisprimary) THEN
        ALTER TABLE {vectors} ADD CONSTRAINT {vectors_pkey} PRIMARY KEY USING INDEX {vectors_pkey};
    END IF;
END
$body$;

-- name: said_twice
-- Of old memories that say the same, the first one is recognised when it is said again; the others stay as well.
UPDATE {memories} m
   SET fingerprint = NULL
  FROM (SELECT tenant_id, id, row_number() OVER (PARTITION BY tenant_id, fingerprint ORDER BY created_at, id) AS turn
          FROM {memories}
         WHERE fingerprint IS NOT NULL) AS said
 WHERE m.tenant_id = said.tenant_id
   AND m.id = said.id
   AND said.turn > 1;

-- name: said_once
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {memories_said_once} ON {memories} (tenant_id, fingerprint);

-- name: keys
BEGIN;

DO $body$
BEGIN
    -- All of them came in one transaction, if they are there.
    IF NOT EXISTS (SELECT
                     FROM pg_constraint
                    WHERE conname = 'waypoint_target'
                      AND connamespace = to_regnamespace(quote_ident({staging_text}))) THEN
        ALTER TABLE {memories}
            ADD CONSTRAINT {memories_said_once} UNIQUE USING INDEX {memories_said_once};
        ALTER TABLE {vectors}
            ADD CONSTRAINT {vectors_memory_fkey} FOREIGN KEY (tenant_id, id)
                REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE NOT VALID;
        ALTER TABLE {waypoints}
            ADD CONSTRAINT waypoint_source FOREIGN KEY (tenant_id, src_id)
                REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE NOT VALID,
            ADD CONSTRAINT waypoint_target FOREIGN KEY (tenant_id, dst_id)
                REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE NOT VALID;
    END IF;
END
$body$;

COMMIT;

-- name: vectors_have_memories
ALTER TABLE {vectors} VALIDATE CONSTRAINT {vectors_memory_fkey};

-- name: waypoints_have_sources
ALTER TABLE {waypoints} VALIDATE CONSTRAINT waypoint_source;

-- name: waypoints_have_targets
ALTER TABLE {waypoints} VALIDATE CONSTRAINT waypoint_target;
