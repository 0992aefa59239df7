-- name: tables
-- The tables whose rows a dump holds: not PostgreSQL's own, not those that an extension brings along.
-- `is_hidden` says that row-level security would keep rows from this login.
SELECT n.nspname::text AS schema, c.relname::text AS name, row_security_active(c.oid) AS is_hidden,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS may_read
  FROM pg_class c
  JOIN pg_namespace n
    ON n.oid = c.relnamespace
 WHERE c.relkind = 'r'
   AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT
                     FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname;

-- name: others
-- What the owner of OpenMemory's tables could not make again of all that is in the database, by kind and owner. A superuser
-- can make everything.
WITH owner AS (
    SELECT r.oid AS id, r.rolsuper AS may_all
      FROM pg_class c
      JOIN pg_roles r
        ON r.oid = c.relowner
     WHERE c.oid = to_regclass(%(memories)s)
), others AS (
    SELECT 'tables and views of ' || pg_get_userbyid(c.relowner) AS kind, c.oid::regclass::text AS name
      FROM pg_class c
      JOIN pg_namespace n
        ON n.oid = c.relnamespace
      JOIN owner
        ON NOT pg_has_role(owner.id, c.relowner, 'USAGE')
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND c.relpersistence <> 't'
       AND n.nspname !~ '^pg_'
       AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT
                         FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid
                          AND d.deptype = 'e')
     UNION ALL
    SELECT 'publications of all tables', p.pubname
      FROM pg_publication p
      JOIN owner
        ON NOT owner.may_all
     WHERE p.puballtables
        OR EXISTS (SELECT
                     FROM pg_publication_namespace s
                    WHERE s.pnpubid = p.oid)
     UNION ALL
    SELECT 'event triggers', e.evtname
      FROM pg_event_trigger e
      JOIN owner
        ON NOT owner.may_all
     WHERE NOT EXISTS (SELECT
                         FROM pg_depend d
                        WHERE d.classid = 'pg_event_trigger'::regclass
                          AND d.objid = e.oid
                          AND d.deptype = 'e')
)
SELECT kind, count(*) AS count, (array_agg(name ORDER BY name))[1:3]::text[] AS first
  FROM others
 GROUP BY kind
 ORDER BY kind;

-- name: snapshot
SELECT pg_export_snapshot() AS id;

-- name: here
-- What a restore must know of the database it goes into, beside its tables.
SELECT current_user::text AS login,
       ARRAY(SELECT nspname::text FROM pg_namespace) AS schemas,
       ARRAY(SELECT extname::text FROM pg_extension) AS extensions,
       ARRAY(SELECT rolname::text FROM pg_roles) AS roles,
       ARRAY(SELECT rolname::text FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')) AS memberships;

-- name: there
-- The functions and the types of a schema.
SELECT proname::text AS name
  FROM pg_proc
 WHERE pronamespace = to_regnamespace(quote_ident(%(schema)s))
 UNION ALL
SELECT typname::text
  FROM pg_type
 WHERE typnamespace = to_regnamespace(quote_ident(%(schema)s));

-- name: drop_beside
-- What stands beside the tables and is of their rows: the new ones while an upgrade runs, the old ones after it, and the
-- vectors of a reembedding that is not over.
DROP SCHEMA IF EXISTS {schemas} CASCADE;

-- name: drop_helpers
-- What the tables of a migrated database stand on; the dump brings its own, or an older one none.
DROP FUNCTION IF EXISTS {faded};
DROP TYPE IF EXISTS {textrange};
