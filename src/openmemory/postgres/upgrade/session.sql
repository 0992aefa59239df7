-- What the files for psql have around each step, and what the loops of 002 and 003 share. Whichever way a step is run,
-- it holds the lock of `openmemory migrate` from beginning to end.

-- name: settings
-- Some statements take hours.
SET statement_timeout = 0;
SET lock_timeout = 0;

-- name: lock
-- Tried, not waited for: who waits holds a snapshot, for which the other's CREATE INDEX CONCURRENTLY would wait in turn.
DO $lock$
BEGIN
    IF NOT pg_try_advisory_lock({lock}) THEN
        RAISE EXCEPTION 'another migration is at work on this database'
            USING HINT = 'Let it finish, or stop it, and run this file again.', ERRCODE = 'lock_not_available';
    END IF;
END
$lock$;

-- name: turn
-- A step that is finished is not run again, and none before the one that it stands on.
DO $turn$
DECLARE
    finished text := '000';
BEGIN
    IF to_regclass({upgrade_text}) IS NOT NULL THEN
        SELECT coalesce(max(value), '000') INTO finished FROM {upgrade} WHERE name = 'step';
    END IF;
    IF finished <> 'done' AND finished::integer < STEP - 1 THEN
        RAISE EXCEPTION 'step % is not finished, and step % needs it', STEP - 1, STEP
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM set_config('openmemory.pending', (finished <> 'done' AND finished::integer < STEP)::text, false);
END
$turn$;

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
BEGIN
    IF NOT pg_try_advisory_xact_lock({lock}) THEN
        RAISE EXCEPTION 'another migration is at work on this database'
            USING HINT = 'Let it finish, or stop it, and call this again.', ERRCODE = 'lock_not_available';
    END IF;
END
$body$;

COMMIT;

-- name: end
SELECT pg_advisory_unlock_all();
