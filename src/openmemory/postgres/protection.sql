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

-- name: lacking
-- Rights on tables that a role does not have; without the schema's it has none that it can use.
SELECT format('%%s on %%s', wanted.privilege, wanted.name) AS name
  FROM unnest(%(tables)s::text[], %(privileges)s::text[]) AS wanted (name, privilege)
  JOIN pg_class c
    ON c.relname = wanted.name
   AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
 WHERE NOT (has_schema_privilege(%(role)s, %(schema)s, 'USAGE')
            AND has_table_privilege(%(role)s, c.oid, wanted.privilege));
