-- name: begin
-- A schema for the new vectors while they are filled; nobody reads it, and the tenants' role writes to it through the
-- same policy as everywhere.
CREATE SCHEMA {beside};
GRANT USAGE ON SCHEMA {beside} TO {app_role};

CREATE TABLE {target} (
    name text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE {tenants_to_do} (
    tenant_id text PRIMARY KEY
);

CREATE TABLE {changes} (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    id uuid NOT NULL
);

REVOKE ALL ON {target}, {tenants_to_do}, {changes} FROM PUBLIC, {app_role};

-- Whatever a server writes meanwhile is noted, and embedded before the exchange. Only what a search row is made of
-- counts: recall changes a memory's salience all the time.
CREATE FUNCTION {beside}.note_change() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog
AS $body$
BEGIN
    IF tg_op = 'DELETE' THEN
        INSERT INTO {changes} (tenant_id, id) VALUES (old.tenant_id, old.id);
    ELSE
        INSERT INTO {changes} (tenant_id, id) VALUES (new.tenant_id, new.id);
    END IF;
    RETURN NULL;
END
$body$;

CREATE TRIGGER openmemory_reembed
    AFTER INSERT OR DELETE OR UPDATE OF content, speaker, user_id, project_id, session_id, occurred_at, primary_sector,
                                        sectors
    ON {memories}
    FOR EACH ROW EXECUTE FUNCTION {beside}.note_change();

-- name: ready_to_fill
-- The foreign key and the tenant index come when the table is full, and so does vacuum.
GRANT SELECT, INSERT, UPDATE, DELETE ON {vectors} TO {app_role};
ALTER TABLE {vectors} SET (autovacuum_enabled = off);

-- name: note_target
INSERT INTO {target} (name, value)
VALUES (%(name)s, %(value)s);

-- name: target
SELECT name, value
  FROM {target};

-- name: tenants
-- Those that have memories, whether the registry knows them or not: from one to the next in the index.
WITH RECURSIVE found AS (
    (SELECT tenant_id
       FROM {memories}
      ORDER BY tenant_id
      LIMIT 1)
     UNION ALL
    SELECT (SELECT m.tenant_id
              FROM {memories} m
             WHERE m.tenant_id > found.tenant_id
             ORDER BY m.tenant_id
             LIMIT 1)
      FROM found
     WHERE found.tenant_id IS NOT NULL
)
SELECT tenant_id AS name
  FROM found
 WHERE tenant_id IS NOT NULL;

-- name: is_bound
-- Whether row-level security binds the login here; it does where the owner is no superuser.
SELECT row_security_active(%(memories)s::text) AS yes;

-- name: lift
ALTER TABLE {memories} NO FORCE ROW LEVEL SECURITY;

-- name: force
ALTER TABLE {memories} FORCE ROW LEVEL SECURITY;

-- name: is_indexed
SELECT EXISTS (SELECT
                 FROM pg_index
                WHERE indrelid = %(vectors)s::text::regclass
                  AND NOT indisprimary) AS yes;

-- name: has_key
SELECT EXISTS (SELECT
                 FROM pg_constraint
                WHERE conrelid = %(vectors)s::text::regclass
                  AND contype = 'f') AS yes;

-- name: add_key
ALTER TABLE {vectors} ADD {vectors_key} NOT VALID;

-- name: prove_key
-- Where row-level security binds the owner this reads nothing; then it holds because each row was made from its memory,
-- and because deletions since were noted.
ALTER TABLE {vectors} VALIDATE CONSTRAINT {vectors_memory_fkey};

-- name: freshen
ALTER TABLE {vectors} RESET (autovacuum_enabled);

-- name: vacuum
-- The search reads the tenant index alone where the visibility map is fresh.
VACUUM (ANALYZE, PROCESS_TOAST false) {vectors};

-- name: close
-- The one moment with exclusive locks; nobody is waited for longer than lock_timeout says.
LOCK TABLE {memories}, {used_vectors} IN ACCESS EXCLUSIVE MODE;

-- name: has_changes
SELECT EXISTS (SELECT FROM {changes}) OR EXISTS (SELECT FROM {tenants_to_do}) AS yes;

-- name: stop_noting
DROP TRIGGER IF EXISTS openmemory_reembed ON {memories};
DROP FUNCTION {beside}.note_change();
DROP TABLE {target}, {tenants_to_do}, {changes};

-- name: keep_used
CREATE SCHEMA {before};
ALTER TABLE {used_vectors} SET SCHEMA {before};

-- name: drop_used
DROP TABLE {used_vectors};

-- name: take_place
ALTER TABLE {vectors} SET SCHEMA {schema};
DROP SCHEMA {beside};

-- name: record
INSERT INTO {meta} (name, value)
VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: untidied
-- Rights and the quarantine are seen to after the exchange, by this run or by the next one.
INSERT INTO {meta} (name, value)
VALUES ('reembedding', 'exchanged')
    ON CONFLICT (name) DO NOTHING;

-- name: is_untidied
SELECT EXISTS (SELECT
                 FROM {meta}
                WHERE name = 'reembedding') AS yes;

-- name: tidied
DELETE FROM {meta}
 WHERE name = 'reembedding';

-- name: abandon
DROP TRIGGER IF EXISTS openmemory_reembed ON {memories};
DROP SCHEMA {beside} CASCADE;
