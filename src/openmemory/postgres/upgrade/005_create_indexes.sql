-- 005: the tenant index, by which a question reads its own tenant's rows and no others, and the rest of the indexes;
-- then row-level security as everywhere, and the exchange of old tables for new ones.

-- name: search
CREATE INDEX CONCURRENTLY IF NOT EXISTS {vectors_search} ON {vectors} (tenant_id, user_id, session_id, occurred_at, seq)
    INCLUDE (locator, id, sectors, project_id, speaker_key, traits, code, terms);

-- name: listing
CREATE INDEX CONCURRENTLY IF NOT EXISTS {memories_listing} ON {memories} (tenant_id, created_at, id);

-- name: user_listing
CREATE INDEX CONCURRENTLY IF NOT EXISTS {memories_user_listing} ON {memories} (tenant_id, user_id, created_at, id);

-- name: vacuum_memories
VACUUM (ANALYZE, PROCESS_TOAST false) {memories};

-- name: vacuum_vectors
-- The search reads the index alone where the visibility map is fresh. The vectors themselves lie in the TOAST table, which
-- is written once and read by key: to vacuum it here would write all of it to the WAL once more, where data checksums
-- are on. Autovacuum comes to it in its own time.
VACUUM (ANALYZE, PROCESS_TOAST false) {vectors};

-- name: sound
-- An interrupted CONCURRENTLY leaves an index that exists and is not used: nothing is exchanged over one.
DO $body$
DECLARE
    broken text;
BEGIN
    SELECT string_agg(c.oid::regclass::text, ', ')
      INTO broken
      FROM pg_index i
      JOIN pg_class c
        ON c.oid = i.indexrelid
      JOIN pg_namespace n
        ON n.oid = c.relnamespace
     WHERE n.nspname = {staging_text}
       AND NOT i.indisvalid;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'the index % was not finished', broken
            USING HINT = 'Drop it and run this step again.';
    END IF;
    IF EXISTS (SELECT FROM {upgrade} WHERE name = 'terms' AND value = 'pending') THEN
        RAISE EXCEPTION 'the search rows have no terms yet, which SQL cannot make'
            USING HINT = 'Run openmemory migrate, which fills them and goes on from here.';
    END IF;
END
$body$;

-- name: exchange
-- The old tables move into a schema of their own as they are, and the new ones take their place, all or nothing. This
-- is the one moment with exclusive locks; it waits for a live session no longer than lock_timeout says.
BEGIN;

SET LOCAL lock_timeout = {lock_timeout};

ALTER TABLE {memories} RESET (autovacuum_enabled);
ALTER TABLE {vectors} RESET (autovacuum_enabled);
ALTER TABLE {users} FORCE ROW LEVEL SECURITY;
ALTER TABLE {memories} FORCE ROW LEVEL SECURITY;
ALTER TABLE {vectors} FORCE ROW LEVEL SECURITY;
ALTER TABLE {waypoints} FORCE ROW LEVEL SECURITY;
ALTER TABLE {temporal_facts} FORCE ROW LEVEL SECURITY;

-- What the server compares with its settings at start.
INSERT INTO {meta} (name, value)
VALUES ('embedding_model', {embedding_model}),
       ('embedding_dimension', '{dimension}'),
       ('embedding_type', '{vector_type}'),
       ('memories_table', {memories_text}),
       ('vectors_table', {vectors_text});

CREATE SCHEMA {kept};

ALTER TABLE IF EXISTS {old_memories_table} SET SCHEMA {kept};
ALTER TABLE IF EXISTS {old_vectors_table} SET SCHEMA {kept};
ALTER TABLE IF EXISTS {old_waypoints_table} SET SCHEMA {kept};
ALTER TABLE IF EXISTS {old_users_table} SET SCHEMA {kept};
ALTER TABLE IF EXISTS {old_facts_table} SET SCHEMA {kept};

ALTER TABLE {memories} SET SCHEMA {final};
ALTER TABLE {vectors} SET SCHEMA {final};
ALTER TABLE {waypoints} SET SCHEMA {final};
ALTER TABLE {users} SET SCHEMA {final};
ALTER TABLE {temporal_facts} SET SCHEMA {final};
ALTER TABLE {idempotency} SET SCHEMA {final};
ALTER TABLE {tenants} SET SCHEMA {final};
ALTER TABLE {meta} SET SCHEMA {final};
ALTER TABLE {migrations} SET SCHEMA {final};
ALTER FUNCTION {faded} SET SCHEMA {final};

-- The triggers that refused writes, the views and the conversions have done their work. Not CASCADE: it would take
-- along, without a word, what still stands on something that was forgotten here.
DO $body$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) AS command
          FROM pg_trigger
         WHERE tgname = 'openmemory_upgrade_guard'
           AND tgfoid IN (SELECT oid FROM pg_proc WHERE pronamespace = to_regnamespace(quote_ident({staging_text})))
        UNION ALL
        SELECT string_agg(format('DROP VIEW %s', oid::regclass), '; ' ORDER BY oid DESC)
          FROM pg_class
         WHERE relnamespace = to_regnamespace(quote_ident({staging_text}))
           AND relkind = 'v'
        HAVING count(*) > 0
        UNION ALL
        SELECT 'DROP ROUTINE ' || string_agg(oid::regprocedure::text, ', ')
          FROM pg_proc
         WHERE pronamespace = to_regnamespace(quote_ident({staging_text}))
        HAVING count(*) > 0
    LOOP
        EXECUTE part.command;
    END LOOP;
END
$body$;

DROP SCHEMA {staging};

INSERT INTO {upgrade} (name, value)
VALUES ('exchanged_at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;

COMMIT;
