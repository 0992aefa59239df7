-- 001: what the other steps stand on. The old tables keep their rows and columns as they are until the last block of
-- 005 moves them aside; from the end of this step on a trigger has them refuse writes (upgrade/guard.sql), so that what is
-- read is all there is.
--
-- New tables are filled beside the old ones and take their names in the end. To add the columns to the old tables
-- instead would rewrite each of them under an exclusive lock, old vectors and all, and could not be undone.

-- name: role
-- The role of every tenant's work, which who fills the tables must be able to act as.
DO $role$
BEGIN
    IF to_regrole({app_role_text}) IS NULL THEN
        CREATE ROLE {app_role} NOLOGIN NOINHERIT;
    END IF;
    -- To be given what one has takes an administrator's rights again.
    IF NOT pg_has_role({app_role_text}::regrole,
                       CASE WHEN current_setting('server_version_num')::integer >= 160000
                            THEN 'SET' ELSE 'MEMBER' END) THEN
        GRANT {app_role} TO CURRENT_USER;
    END IF;
END
$role$;

-- name: extension
-- The type `vector`; fails here, before anything else, where pgvector is not installed or may not be created.
CREATE EXTENSION IF NOT EXISTS vector;

-- name: record
-- Where the upgrade is: its decisions, the last step that was finished, and the heap block that each table was read to.
-- Written in the same transaction as the rows, so that a kill at any moment loses no row and doubles none.
CREATE TABLE IF NOT EXISTS {upgrade} (
    name text PRIMARY KEY,
    value text NOT NULL
);

-- name: quarantine
-- What has no place in the new tables is set aside whole, never dropped. `original` is the rest of a vector's row whose
-- memory is gone. `repaired_at` says since when the memory of an old vector has a new one, made by `openmemory reembed`.
CREATE TABLE IF NOT EXISTS {vector_quarantine} (
    entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    sector text NOT NULL,
    user_id text,
    dim integer,
    v bytea,
    reason text NOT NULL,
    original jsonb,
    repaired_at timestamptz
);

CREATE TABLE IF NOT EXISTS {row_quarantine} (
    entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    sector text,
    reason text NOT NULL,
    original jsonb NOT NULL
);

-- Rows of all tenants are in them, so they are the owner's alone, like the record itself: also where a hosted platform
-- grants its roles every new table. Row-level security without a policy shows nothing to whomever it binds.
DO $body$
DECLARE
    revocation text;
BEGIN
    FOR revocation IN
        SELECT format('REVOKE ALL ON %s %s FROM %s', own.kind, own.name::regclass, others.grantee)
          FROM (VALUES ('TABLE', {upgrade_text}),
                       ('TABLE', {vector_quarantine_text}),
                       ('TABLE', {row_quarantine_text}),
                       ('SEQUENCE', pg_get_serial_sequence({vector_quarantine_text}, 'entry')),
                       ('SEQUENCE', pg_get_serial_sequence({row_quarantine_text}, 'entry'))) AS own (kind, name)
         CROSS JOIN (SELECT 'PUBLIC'
                      UNION ALL
                     SELECT quote_ident(rolname)
                       FROM pg_roles
                      WHERE oid = to_regrole({app_role_text})
                         OR rolname IN ('anon', 'authenticated', 'service_role')) AS others (grantee)
    LOOP
        EXECUTE revocation;
    END LOOP;
END
$body$;

ALTER TABLE {upgrade} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {vector_quarantine} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {row_quarantine} ENABLE ROW LEVEL SECURITY;

-- name: unkey
-- The new tables, made by the ordinary migrations, are filled without keys and indexes: 004 and 005 build those in one
-- pass each, which is several times faster than keeping them up row by row. Row-level security binds the owner who
-- fills them, so it is lifted until 005; no other role may read this schema meanwhile.
BEGIN;

ALTER TABLE {vectors} DROP CONSTRAINT IF EXISTS {vectors_memory_fkey};
ALTER TABLE {waypoints} DROP CONSTRAINT IF EXISTS waypoint_source, DROP CONSTRAINT IF EXISTS waypoint_target;
ALTER TABLE {vectors} DROP CONSTRAINT IF EXISTS {vectors_pkey};
ALTER TABLE {memories} DROP CONSTRAINT IF EXISTS {memories_pkey}, DROP CONSTRAINT IF EXISTS {memories_said_once};
DROP INDEX IF EXISTS {staging}.{vectors_search}, {staging}.{memories_listing}, {staging}.{memories_user_listing},
                     {staging}.openmemory_waypoints_target;

-- The functions of a range type belong to the bootstrap superuser, so that an owner who is none could not move them
-- in 005: the type is made where it stays, while no fact stands on it yet.
DO $body$
BEGIN
    IF to_regtype({textrange_text}) IS NOT NULL THEN
        ALTER TABLE {temporal_facts} DROP CONSTRAINT one_truth_at_a_time;
        DROP TYPE {textrange};
        CREATE TYPE {lifted_textrange} AS RANGE (SUBTYPE = text);
        ALTER TABLE {temporal_facts} ADD CONSTRAINT one_truth_at_a_time EXCLUDE USING gist (
            {lifted_textrange}(tenant_id, tenant_id, '[]') WITH &&,
            {lifted_textrange}(coalesce(user_id, ''), coalesce(user_id, ''), '[]') WITH &&,
            {lifted_textrange}(coalesce(project_id, ''), coalesce(project_id, ''), '[]') WITH &&,
            {lifted_textrange}(md5(subject), md5(subject), '[]') WITH &&,
            {lifted_textrange}(md5(predicate), md5(predicate), '[]') WITH &&,
            valid WITH &&
        );
    END IF;
END
$body$;

ALTER TABLE {users} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {memories} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {vectors} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {waypoints} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {temporal_facts} NO FORCE ROW LEVEL SECURITY;

-- Autovacuum would run against the filling; 005 vacuums once, at its end.
ALTER TABLE {memories} SET (autovacuum_enabled = off);
ALTER TABLE {vectors} SET (autovacuum_enabled = off);

CREATE OR REPLACE FUNCTION {staging}.refuse_write() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $body$
BEGIN
    RAISE EXCEPTION 'table % is being upgraded and takes no writes', tg_table_name
        USING HINT = 'Finish with openmemory migrate, or go back with openmemory migrate --down.',
              ERRCODE = 'object_not_in_prerequisite_state';
END
$body$;

COMMIT;

-- name: move
-- The ordinary migrations made the tables where the database makes any; empty, they move at once.
DO $body$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END AS kind, s.spcname
          FROM pg_class c
          JOIN pg_tablespace s
            ON s.spcname = current_setting('default_tablespace')
         WHERE c.relnamespace = to_regnamespace(quote_ident({staging_text}))
           AND c.relkind IN ('r', 'i')
           AND c.reltablespace <> s.oid
           AND s.oid <> (SELECT dattablespace FROM pg_database WHERE datname = current_database())
    LOOP
        EXECUTE format('ALTER %s %s SET TABLESPACE %I', made.kind, made.name, made.spcname);
    END LOOP;
END
$body$;
