-- name: role
-- What makes a role unfit or fit to serve as; `unbound` is one that it may act as and that no policy binds.
SELECT rolname AS name, rolsuper AS is_superuser, rolbypassrls AS bypasses_rls,
       (SELECT min(r.rolname)
          FROM pg_roles r
         WHERE r.oid <> pg_roles.oid
           AND (r.rolsuper OR r.rolbypassrls)
           AND pg_has_role(pg_roles.oid, r.oid, 'MEMBER')) AS unbound,
       pg_has_role(current_user, oid,
                   CASE WHEN current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END)
       AS may_become,
       pg_has_role(current_user, oid, 'USAGE') AS is_inherited
  FROM pg_roles
 WHERE rolname = %(role)s;

-- name: may_use
SELECT has_schema_privilege(%(role)s, %(schema)s, 'USAGE') AS yes;

-- name: versions
SELECT current_setting('server_version_num')::int4 AS server, current_setting('server_version') AS server_text,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector, current_user::text AS login;

-- name: other_roles
-- Roles of hosted platforms that get rights on new tables by default; `public` is everybody.
SELECT rolname AS name
  FROM pg_roles
 WHERE rolname IN ('anon', 'authenticated', 'service_role');

-- name: sequences
-- The sequences that number our tables' rows, quoted: they tell how much all tenants write.
SELECT format('%%I.%%I', n.nspname, s.relname) AS name
  FROM pg_class s
  JOIN pg_namespace n
    ON n.oid = s.relnamespace
  JOIN pg_depend d
    ON d.classid = 'pg_class'::regclass
   AND d.objid = s.oid
   AND d.refclassid = 'pg_class'::regclass
   AND d.deptype IN ('a', 'i')
  JOIN pg_class t
    ON t.oid = d.refobjid
   AND t.relnamespace = n.oid
 WHERE s.relkind = 'S'
   AND n.nspname = %(schema)s
   AND t.relname = ANY (%(tables)s);

-- name: may_become
-- Whether the login may become the tenants' role by itself, which a membership alone does not say from PostgreSQL 16 on.
SELECT pg_has_role(%(login)s, %(role)s,
                   CASE WHEN current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END)
       AS yes;
