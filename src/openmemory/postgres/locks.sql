-- name: holder
-- The session that holds an advisory lock of this database. Who may not see another's statements may not end its session
-- either, and is told its number alone.
SELECT a.pid, coalesce(a.application_name, '') AS application, coalesce(a.state, '') AS state,
       to_char(coalesce(a.query_start, a.backend_start), 'YYYY-MM-DD HH24:MI:SS TZ') AS since
  FROM pg_locks l
  JOIN pg_stat_activity a
    ON a.pid = l.pid
 WHERE l.locktype = 'advisory'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.granted
   AND (l.classid::bigint << 32 | l.objid::bigint) = %(lock)s;
