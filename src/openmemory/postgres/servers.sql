-- name: sessions
-- Other sessions that are a server's or may be one. Which statement was their last is not shown to everybody, and a pool's
-- is mostly COMMIT, so they are known by what they call themselves, or by the login: one that may become the tenants' role
-- (which a superuser always may, and is no server by that), and the one that the settings name. An owner's tools and
-- monitoring agents name themselves.
SELECT a.pid, coalesce(a.application_name, '') AS application, coalesce(host(a.client_addr), '') AS address,
       coalesce(a.usename, '') AS user, coalesce(a.state, '') AS state
  FROM pg_stat_activity a
  JOIN pg_roles r
    ON r.oid = a.usesysid
 WHERE a.datname = current_database()
   AND a.pid <> pg_backend_pid()
   AND coalesce(a.backend_type, 'client backend') = 'client backend'
   AND a.application_name <> ALL (%(passing)s)
   -- Of another schema's tables.
   AND (a.application_name !~ '^openmemory (serve|command) ' OR a.application_name = ANY (%(ours)s))
   AND a.application_name !~* %(tools)s
   AND a.application_name !~* %(monitoring)s
   AND (a.application_name = ANY (%(ours)s)
        OR a.usename = coalesce(%(login)s::text, current_user)
        OR (NOT r.rolsuper
            AND pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = %(app_role)s), 'MEMBER')))
 ORDER BY a.pid;
