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

-- name: unprotected
-- Tenant tables that are missing, not protected by forced row-level security, or owned by the role or one it may act as.
SELECT wanted.name,
       c.oid IS NULL AS is_missing,
       coalesce(pg_has_role(%(role)s, c.relowner, 'MEMBER'), false) AS is_owned
  FROM unnest(%(tables)s::text[]) AS wanted (name)
  LEFT JOIN pg_class c
    ON c.relname = wanted.name
   AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
 WHERE c.oid IS NULL
    OR NOT (c.relrowsecurity AND c.relforcerowsecurity)
    OR pg_has_role(%(role)s, c.relowner, 'MEMBER');

-- name: policies
-- The tenant tables with each policy that lets the role, or one it may act as, see or write rows; null where none does.
SELECT c.relname AS table_name, p.polname AS name, p.polcmd::text AS command,
       ARRAY(SELECT CASE r.oid WHEN 0 THEN 'public' ELSE pg_get_userbyid(r.oid)::text END
               FROM unnest(p.polroles) AS r (oid)) AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS seen, pg_get_expr(p.polwithcheck, p.polrelid) AS written
  FROM pg_class c
  LEFT JOIN pg_policy p
    ON p.polrelid = c.oid
   AND p.polpermissive
   AND EXISTS (SELECT
                 FROM unnest(p.polroles) AS r (oid)
                WHERE r.oid = 0
                   OR pg_has_role(%(role)s, r.oid, 'MEMBER'))
 WHERE c.relname = ANY (%(tables)s)
   AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
 ORDER BY c.relname, p.polname;

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

-- name: lacking
-- Rights on tables that a role does not have; without the schema's it has none that it can use.
SELECT format('%%s on %%s', wanted.privilege, wanted.name) AS name
  FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS wanted (name, privilege)
  JOIN pg_class c
    ON c.relname = wanted.name
   AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
 WHERE NOT (has_schema_privilege(%(role)s, %(schema)s, 'USAGE')
            AND has_table_privilege(%(role)s, c.oid, wanted.privilege));
