-- 005: the tenant index, by which a question reads its own tenant's rows and no others, and the rest of the indexes;
-- then row-level security as everywhere, and the exchange of old tables for new ones.

-- name: search
CREATE INDEX CONCURRENTLY IF NOT EXISTS {vectors_search} ON {vectors} (tenant_id, user_id, session_id, occurred_at, seq)
    INCLUDE (locator, id, sectors, project_id, speaker_key, traits, code, terms);

-- name: listing
CREATE INDEX CONCURRENTLY IF NOT EXISTS {memories_listing} ON {memories} (tenant_id, created_at, id);

-- name: user_listing
CREATE INDEX CONCURRENTLY IF NOT EXISTS {memories_user_listing} ON {memories} (tenant_id, user_id, created_at, id);

-- name: waypoint_targets
CREATE INDEX CONCURRENTLY IF NOT EXISTS openmemory_waypoints_target ON {waypoints} (tenant_id, dst_id);

-- name: vacuum_memories
VACUUM (ANALYZE, PROCESS_TOAST false) {memories};

-- name: vacuum_vectors
-- The search reads the index alone where the visibility map is fresh. The vectors themselves lie in the TOAST table, which
-- is written once and read by key: to vacuum it here would write all of it to the WAL once more, where data checksums
-- are on. Autovacuum comes to it in its own time.
VACUUM (ANALYZE, PROCESS_TOAST false) {vectors};

-- name: analyze_links
-- The rest of what was filled: a server's first statements are planned by it.
ANALYZE {waypoints}, {users}, {temporal_facts}, {tenants};

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
    IF EXISTS (SELECT FROM {upgrade} WHERE name IN ('terms', 'fingerprints') AND value = 'pending') THEN
        RAISE EXCEPTION 'the texts have no terms or fingerprints yet, which SQL cannot make'
            USING HINT = 'Run openmemory migrate, which fills them and goes on from here.';
    END IF;
END
$body$;

-- name: counted
-- Each old row is in a new table or was set aside: where the numbers differ, nothing is exchanged. What was set aside with
-- "; kept" in its reason is a note on a row that came across. The new rows are recorded, for --down compares them; of
-- vectors those that have a value, since a memory without any has a row as well.
DO $body$
DECLARE
    lost text;
BEGIN
    INSERT INTO {upgrade} (name, value)
    SELECT 'rows_memories', count(*) FROM {memories}
     UNION ALL
    SELECT 'rows_vectors', count(embedding) FROM {vectors}
     UNION ALL
    SELECT 'rows_users', count(*) FROM {users}
     UNION ALL
    SELECT 'rows_waypoints', count(*) FROM {waypoints}
     UNION ALL
    SELECT 'rows_temporal_facts', count(*) FROM {temporal_facts}
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;

    WITH aside AS (
        SELECT source, count(*) AS rows
          FROM {row_quarantine}
         WHERE reason NOT LIKE '%; kept%'
         GROUP BY source
    ), counted (what, old, new, aside) AS (
        SELECT 'memories',
               (SELECT count(*) FROM {old_memories}),
               (SELECT count(*) FROM {memories}),
               0
         UNION ALL
        -- A vector that has a row without a value is set aside; so is the lack of one, where a memory never had any.
        SELECT 'vectors',
               (SELECT count(*) FROM {old_vectors}),
               (SELECT count(embedding) FROM {vectors}),
               (SELECT count(*) FROM {vector_quarantine})
                   - coalesce((SELECT value::bigint FROM {upgrade} WHERE name = 'without_vector'), 0)
         UNION ALL
        -- Users that only memories name have a row as well.
        SELECT 'users',
               (SELECT count(*) FROM {old_users}),
               (SELECT count(*)
                  FROM {old_users} o
                  JOIN {users} n
                    ON n.tenant_id = {staging}.as_tenant(o.tenant_id, o.user_id)
                   AND n.user_id = {staging}.as_name(o.user_id)),
               coalesce((SELECT rows FROM aside WHERE source = 'users'), 0)
         UNION ALL
        SELECT 'waypoints',
               (SELECT count(*) FROM {old_waypoints}),
               (SELECT count(*) FROM {waypoints}),
               coalesce((SELECT rows FROM aside WHERE source = 'waypoints'), 0)
         UNION ALL
        SELECT 'temporal_facts',
               (SELECT count(*) FROM {old_facts}),
               (SELECT count(*) FROM {temporal_facts}),
               coalesce((SELECT rows FROM aside WHERE source = 'facts'), 0)
    )
    SELECT string_agg(format('%s: %s old rows, %s new ones and %s set aside', what, old, new, aside), '; ')
      INTO lost
      FROM counted
     WHERE old <> new + aside;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'the rows do not add up: %', lost
            USING HINT = 'The old tables are whole. Go back to them with openmemory migrate --down, and begin again with'
                         ' openmemory migrate.',
                  ERRCODE = 'data_corrupted';
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
         WHERE tgname IN ('openmemory_upgrade_guard', 'openmemory_upgrade_guard_truncate')
           AND tgfoid IN (SELECT oid FROM pg_proc WHERE pronamespace = to_regnamespace(quote_ident({staging_text})))
        UNION ALL
        SELECT 'DROP VIEW ' || string_agg(oid::regclass::text, ', ')
          FROM pg_class
         WHERE relnamespace = to_regnamespace(quote_ident({staging_text}))
           AND relkind = 'v'
        HAVING count(*) > 0
        UNION ALL
        SELECT format('DROP TABLE %s', oid::regclass)
          FROM pg_class
         WHERE oid IN (to_regclass({old_sectors_text}), to_regclass({old_owners_text}))
           AND relkind = 'r'
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
