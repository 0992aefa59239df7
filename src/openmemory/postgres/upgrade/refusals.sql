-- What is asked where an upgrade is refused, or would be.

-- name: old_tables
SELECT c.oid
  FROM pg_class c
  JOIN pg_namespace n
    ON n.oid = c.relnamespace
 WHERE n.nspname = %(schema)s
   AND c.relkind IN ('r', 'p')
   AND c.relname = ANY (%(tables)s);

-- name: rights
-- What the login may, of what an upgrade needs, and which old tables are another's. Who becomes a member of a superuser is
-- one, so the tables of superusers are named, and of other owners the owner.
SELECT current_database() AS database,
       l.rolname AS login,
       has_database_privilege(current_database(), 'CREATE') AS may_create_in_database,
       has_schema_privilege(%(schema)s, 'CREATE') AS may_create_in_schema,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') AS has_extension,
       NOT l.rolsuper AND EXISTS (SELECT
                                    FROM pg_available_extensions e
                                    JOIN pg_available_extension_versions v
                                      ON v.name = e.name
                                     AND v.version = e.default_version
                                   WHERE e.name = 'vector'
                                     AND v.superuser
                                     AND NOT v.trusted) AS extension_is_untrusted,
       a.oid IS NOT NULL AS has_app_role,
       l.rolcreaterole AS may_make_roles,
       coalesce(pg_has_role(a.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                        THEN 'SET'
                                        ELSE 'MEMBER'
                                   END), false) AS may_act_as_app_role,
       ARRAY(SELECT DISTINCT r.rolname::text
               FROM pg_class t
               JOIN pg_roles r
                 ON r.oid = t.relowner
              WHERE t.oid = ANY (%(oids)s)
                AND NOT pg_has_role(t.relowner, 'USAGE')
                AND NOT r.rolsuper) AS other_owners,
       ARRAY(SELECT t.relname::text
               FROM pg_class t
               JOIN pg_roles r
                 ON r.oid = t.relowner
              WHERE t.oid = ANY (%(oids)s)
                AND NOT pg_has_role(t.relowner, 'USAGE')
                AND r.rolsuper) AS tables_of_superusers
  FROM pg_roles l
  LEFT JOIN pg_roles a
    ON a.rolname = %(app_role)s
 WHERE l.rolname = current_user;

-- name: holders
-- Who holds a lock on an old table.
SELECT DISTINCT a.pid, coalesce(a.application_name, '') AS application, coalesce(a.state, '') AS state
  FROM pg_locks l
  JOIN pg_stat_activity a
    ON a.pid = l.pid
 WHERE l.granted
   AND l.relation = ANY (%(oids)s)
   AND a.pid <> pg_backend_pid();
