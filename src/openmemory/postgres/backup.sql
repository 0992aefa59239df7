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

-- name: standing
-- What PostgreSQL refuses to drop these tables under, whoever made it: the statement that takes it away, the one that makes a
-- foreign key again, and how a dump's list names what brings it back. The search path must be empty.
WITH RECURSIVE going AS (
    SELECT 'pg_class'::regclass::oid AS classid, unnest(%(tables)s::text[]::regclass[])::oid AS objid, 0 AS objsubid
     UNION
    SELECT d.classid, d.objid, d.objsubid
      FROM going
      JOIN pg_depend d
        ON d.refclassid = going.classid
       AND d.refobjid = going.objid
       AND going.objsubid IN (0, d.refobjsubid)
     WHERE d.deptype <> 'n'
), heirs AS (
    -- They can be parted from their parent, and what stands on them may stay.
    SELECT i.inhrelid AS objid, min(i.inhparent) AS parent
      FROM pg_inherits i
     WHERE i.inhparent IN (SELECT objid FROM going WHERE classid = 'pg_class'::regclass)
       AND i.inhrelid NOT IN (SELECT objid FROM going WHERE classid = 'pg_class'::regclass)
     GROUP BY i.inhrelid
), met AS (
    SELECT *
      FROM going
     UNION
    SELECT further.*
      FROM met
     CROSS JOIN LATERAL (SELECT d.classid, d.objid, d.objsubid
                           FROM pg_depend d
                          WHERE d.refclassid = met.classid
                            AND d.refobjid = met.objid
                            AND met.objsubid IN (0, d.refobjsubid)
                            AND (met.classid <> 'pg_class'::regclass OR met.objid NOT IN (SELECT objid FROM heirs))
                          UNION ALL
                         -- The rule of a view goes with the view only, and a partition's foreign key with the parent's.
                         SELECT d.refclassid, d.refobjid, d.refobjsubid
                           FROM pg_depend d
                          WHERE d.classid = met.classid
                            AND d.objid = met.objid
                            AND d.deptype IN ('i', 'P')
                            AND (met.classid, met.objid, met.objsubid) NOT IN (SELECT * FROM going)) further
), left_over AS (
    SELECT *
      FROM met
    EXCEPT
    SELECT *
      FROM going
), standing AS (
    SELECT one.*
      FROM left_over one
     WHERE (one.objsubid = 0 OR (one.classid, one.objid, 0) NOT IN (SELECT * FROM left_over))
       AND NOT EXISTS (SELECT
                         FROM pg_depend d
                         JOIN left_over
                           ON d.refclassid = left_over.classid
                          AND d.refobjid = left_over.objid
                          AND left_over.objsubid IN (0, d.refobjsubid)
                          AND left_over.objid NOT IN (SELECT objid FROM heirs)
                        WHERE d.classid = one.classid
                          AND d.objid = one.objid
                          AND d.objsubid = one.objsubid
                          AND d.deptype <> 'n')
)
SELECT CASE f.contype WHEN 'f' THEN 'foreign key' ELSE itself.type END AS kind,
       itself.identity AS name,
       CASE WHEN f.oid IS NOT NULL THEN format('ALTER TABLE %%s DROP CONSTRAINT %%I', held.identity, f.conname)
            WHEN a.oid IS NOT NULL THEN format('ALTER TABLE %%s ALTER %%I DROP DEFAULT', held.identity, k.attname)
            WHEN one.objsubid <> 0 THEN format('ALTER TABLE %%s DROP %%I', held.identity, k.attname)
            WHEN h.parent IS NOT NULL THEN format('ALTER TABLE %%s NO INHERIT %%s', held.identity, parent.identity)
            ELSE format('DROP %%s %%s', upper(itself.type), itself.identity)
       END AS without,
       CASE WHEN f.contype = 'f'
            THEN format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', held.identity, f.conname, pg_get_constraintdef(f.oid))
            ELSE ''
       END AS again,
       CASE WHEN c.oid IS NOT NULL THEN concat_ws(' ', upper(held.type), n.nspname, c.relname)
            WHEN p.oid IS NOT NULL
            THEN format('%%s %%s %%s(%%s)', upper(itself.type), n.nspname, p.proname,
                        (SELECT string_agg(format_type(t.type, NULL), ', ' ORDER BY t.number)
                           FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, number)))
            ELSE concat_ws(' ', upper(itself.type), itself.schema, itself.name)
       END AS entry
  FROM standing one
 CROSS JOIN pg_identify_object(one.classid, one.objid, one.objsubid) itself
  LEFT JOIN pg_constraint f
    ON one.classid = 'pg_constraint'::regclass
   AND f.oid = one.objid
   AND f.conrelid <> 0
  LEFT JOIN pg_attrdef a
    ON one.classid = 'pg_attrdef'::regclass
   AND a.oid = one.objid
  LEFT JOIN pg_proc p
    ON one.classid = 'pg_proc'::regclass
   AND p.oid = one.objid
  LEFT JOIN pg_rewrite r
    ON one.classid = 'pg_rewrite'::regclass
   AND r.oid = one.objid
  LEFT JOIN pg_policy y
    ON one.classid = 'pg_policy'::regclass
   AND y.oid = one.objid
  LEFT JOIN pg_trigger g
    ON one.classid = 'pg_trigger'::regclass
   AND g.oid = one.objid
  LEFT JOIN pg_class c
    ON c.oid = CASE WHEN one.classid = 'pg_class'::regclass THEN one.objid
                    ELSE coalesce(f.conrelid, a.adrelid, r.ev_class, y.polrelid, g.tgrelid)
               END
  LEFT JOIN pg_namespace n
    ON n.oid = coalesce(c.relnamespace, p.pronamespace)
  LEFT JOIN LATERAL pg_identify_object('pg_class'::regclass, c.oid, 0) held
    ON c.oid IS NOT NULL
  LEFT JOIN pg_attribute k
    ON k.attrelid = c.oid
   AND k.attnum = coalesce(a.adnum, nullif(one.objsubid, 0))
  LEFT JOIN heirs h
    ON one.classid = 'pg_class'::regclass
   AND h.objid = one.objid
  LEFT JOIN LATERAL pg_identify_object('pg_class'::regclass, h.parent, 0) parent
    ON h.parent IS NOT NULL
 ORDER BY one.objid DESC, name;
