-- What the files for psql have around each step, and what the loops of 002 and 003 share. Whichever way a step is run,
-- it holds the lock of `openmemory migrate` from beginning to end.

-- name: settings
-- Some statements take hours. A policy that hides rows is an error then, and not fewer rows. This file is in UTF-8.
SET client_encoding = 'UTF8';
SET statement_timeout = 0;
SET lock_timeout = 0;
SET row_security = off;
-- Or JSON would be made of rounded numbers, where the database or the login has fewer digits written.
SET extra_float_digits = 1;
-- What a database or a login may have set otherwise, and these statements could not be read by.
SET standard_conforming_strings = on;
SET quote_all_identifiers = off;
SET array_nulls = on;
SET transform_null_equals = off;
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET bytea_output = 'hex';
-- A session whose client is gone ends soon, and its lock with it; a server on Windows cannot look while it works.
SET tcp_keepalives_idle = 60;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 6;
DO $gone$
BEGIN
    SET client_connection_check_interval = '1s';
EXCEPTION WHEN invalid_parameter_value THEN
    NULL;
END
$gone$;

-- name: lock
-- Tried, not waited for: who waits holds a snapshot, for which the other's CREATE INDEX CONCURRENTLY would wait in turn.
DO $lock$
DECLARE
    holder text;
BEGIN
    IF NOT pg_try_advisory_lock({lock}) THEN
        SELECT format(': pid %s (%s)', a.pid,
                      concat_ws(', ', quote_literal(a.application_name), a.state, 'since ' || to_char(
                          coalesce(a.query_start, a.backend_start), 'YYYY-MM-DD HH24:MI:SS TZ')))
          INTO holder
          FROM pg_locks l
          JOIN pg_stat_activity a
            ON a.pid = l.pid
         WHERE l.locktype = 'advisory'
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.granted
           AND (l.classid::bigint << 32 | l.objid::bigint) = {lock};
        RAISE EXCEPTION 'another migration is at work on this database%', coalesce(holder, '')
            USING HINT = 'Let it finish, or stop it, and run this file again. Where its process is gone, end its session:'
                         ' SELECT pg_terminate_backend(PID).',
                  ERRCODE = 'lock_not_available';
    END IF;
END
$lock$;

-- name: turn
-- A step that is finished is not run again, and none before the one that it stands on; nor by a file that was made for
-- another tenant or other vectors than the upgrade was begun with.
DO $turn$
DECLARE
    finished text := '000';
    other text;
BEGIN
    IF to_regclass({upgrade_text}) IS NOT NULL THEN
        SELECT coalesce(max(value), '000') INTO finished FROM {upgrade} WHERE name = 'step';
        SELECT string_agg(format('%s %L, and this file says %L', begun.name, begun.value, file.value), '; ')
          INTO other
          FROM (VALUES ('tenant', {tenant}),
                       ('tenant_from', CASE WHEN {tenant_from_user} THEN 'user_id' ELSE '' END),
                       ('dimension', '{dimension}'),
                       ('vector_type', '{vector_type}'),
                       ('app_role', {role_text})) AS file (name, value)
          JOIN {upgrade} AS begun
            ON begun.name = file.name
           AND begun.value <> file.value;
    END IF;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'the upgrade was begun with %', other
            USING HINT = 'Make the file anew: openmemory migrate sql STEP.', ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF finished <> 'done' AND finished::integer < STEP - 1 THEN
        RAISE EXCEPTION 'step % is not finished, and step % needs it', STEP - 1, STEP
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM set_config('openmemory.pending', (finished <> 'done' AND finished::integer < STEP)::text, false);
END
$turn$;

-- name: here
-- psql connects to the login's own database where none is named, and that may be another.
DO $here$
BEGIN
    IF to_regclass({old_memories_text}) IS NULL THEN
        RAISE EXCEPTION 'the database % has no table %', current_database(), {old_memories_text}
            USING HINT = 'Name the database of the old tables: psql --dbname=NAME.', ERRCODE = 'undefined_table';
    END IF;
END
$here$;

-- name: room
-- What is made goes to the tablespace of the old vectors, which an owner will have looked at for room.
DO $room$
BEGIN
    PERFORM set_config('default_tablespace', s.spcname, false)
       FROM pg_class c
       JOIN pg_tablespace s
         ON s.oid = c.reltablespace
      WHERE c.oid = to_regclass({old_vectors_text})
        AND has_tablespace_privilege(s.oid, 'CREATE');
END
$room$;

-- name: path
-- pgvector's types and operators may be in a schema of their own.
DO $path$
BEGIN
    PERFORM set_config('search_path', concat_ws(', ', quote_ident({staging_text}), quote_ident(nspname)), false)
       FROM pg_extension
       JOIN pg_namespace
         ON pg_namespace.oid = extnamespace
      WHERE extname = 'vector';
END
$path$;

-- name: readable
-- Rows are read by their place in one table's file, and all of them: where that cannot be, nothing is begun.
DO $readable$
DECLARE
    old record;
    begun boolean := false;
BEGIN
    IF to_regclass({upgrade_text}) IS NOT NULL THEN
        begun := EXISTS (SELECT FROM {upgrade} WHERE name = 'step' AND value <> 'done');
    END IF;
    FOR old IN
        SELECT c.oid::regclass AS name,
               EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'openmemory_upgrade_guard') AS guarded,
               c.relkind <> 'r' OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS in_parts,
               row_security_active(c.oid) AS hides
          FROM unnest(ARRAY[{old_memories_text}, {old_vectors_text}, {old_waypoints_text}, {old_users_text},
                            {old_facts_text}]) AS given (name)
          JOIN pg_class c
            ON c.oid = to_regclass(given.name)
    LOOP
        IF old.in_parts THEN
            RAISE EXCEPTION '% is no table by itself: it is partitioned, has tables that inherit from it, or is a view',
                            old.name
                USING HINT = 'Copy all of its rows into one ordinary table of that name first.',
                      ERRCODE = 'object_not_in_prerequisite_state';
        ELSIF old.hides THEN
            RAISE EXCEPTION 'row-level security may hide rows of % from %', old.name, current_user
                USING HINT = format('As the owner of the table: ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; another login'
                                    ' needs BYPASSRLS.', old.name),
                      ERRCODE = 'object_not_in_prerequisite_state';
        ELSIF begun AND NOT old.guarded THEN
            RAISE EXCEPTION '% was made anew since the upgrade began, and takes writes', old.name
                USING HINT = 'Begin again: openmemory migrate --down, then openmemory migrate.',
                      ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END LOOP;
END
$readable$;

-- name: broken
-- What an interrupted CREATE INDEX CONCURRENTLY left behind exists and is not used; it is built again.
DO $broken$
DECLARE
    left_over regclass;
BEGIN
    FOR left_over IN
        SELECT c.oid
          FROM pg_index i
          JOIN pg_class c
            ON c.oid = i.indexrelid
         WHERE c.relnamespace = to_regnamespace(quote_ident({staging_text}))
           AND NOT i.indisvalid
    LOOP
        EXECUTE format('DROP INDEX %s', left_over);
    END LOOP;
END
$broken$;

-- name: functions
BEGIN;

-- For the loops, batch by batch: a CALL by hand keeps away from others' work, too.
CREATE OR REPLACE FUNCTION {staging}.hold_lock() RETURNS void
    LANGUAGE plpgsql
AS $body$
DECLARE
    holder integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock({lock}) THEN
        SELECT l.pid
          INTO holder
          FROM pg_locks l
         WHERE l.locktype = 'advisory'
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.granted
           AND (l.classid::bigint << 32 | l.objid::bigint) = {lock};
        RAISE EXCEPTION 'another migration is at work on this database%', coalesce(': pid ' || holder, '')
            USING HINT = 'Let it finish, or stop it, and call this again.', ERRCODE = 'lock_not_available';
    END IF;
END
$body$;

-- Whether an index of an old table finds rows by the id that a memory has there. One under another key, or of ids of
-- another type or another collation than the database's, does not: each look would cost a pass over the table.
CREATE OR REPLACE FUNCTION {staging}.finds_by_id(old regclass) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (SELECT
                     FROM pg_index i
                     JOIN pg_class c ON c.oid = i.indexrelid
                     JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'
                     JOIN pg_attribute v ON v.attrelid = i.indrelid AND v.attnum = i.indkey[0] AND v.attname = 'id'
                     JOIN pg_attribute m ON m.attrelid = to_regclass({old_memories_text}) AND m.attname = 'id'
                    WHERE i.indrelid = old
                      AND i.indisvalid
                      AND i.indpred IS NULL
                      AND v.atttypid = m.atttypid
                      AND v.attcollation IN (0, '"default"'::regcollation));

-- The heap block at which an old table is to be read on. Blocks mean nothing in another file: where the table was
-- rewritten since (VACUUM FULL, CLUSTER, a restored dump), what was filled from it is emptied and it is read anew.
CREATE OR REPLACE FUNCTION {staging}.resume_at(what text, source regclass) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    file text := pg_relation_filepath(source);
BEGIN
    IF file IS DISTINCT FROM (SELECT value FROM {upgrade} WHERE name = what || '_file') THEN
        -- At first they are empty, and TRUNCATE would wait for whoever reads them, such as a pg_dump.
        CASE what
            WHEN 'memories' THEN
                IF EXISTS (SELECT FROM {memories}) THEN
                    TRUNCATE {memories};
                END IF;
            WHEN 'waypoints' THEN
                IF EXISTS (SELECT FROM {waypoints}) THEN
                    TRUNCATE {waypoints};
                END IF;
                DELETE FROM {row_quarantine} aside WHERE aside.source = 'waypoints';
            WHEN 'vectors' THEN
                IF EXISTS (SELECT FROM {vectors}) OR EXISTS (SELECT FROM {vector_quarantine}) THEN
                    TRUNCATE {vectors}, {vector_quarantine};
                END IF;
                DELETE FROM {upgrade} WHERE name = 'without_vector';
        END CASE;
        INSERT INTO {upgrade} (name, value)
        VALUES (what || '_file', file), (what || '_block', '0')
            ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    END IF;
    RETURN coalesce((SELECT value::bigint FROM {upgrade} WHERE name = what || '_block'), 0);
END
$body$;

COMMIT;

-- name: end
-- Not a SELECT, of which psql would print the result.
DO $end$
BEGIN
    PERFORM pg_advisory_unlock_all();
END
$end$;
