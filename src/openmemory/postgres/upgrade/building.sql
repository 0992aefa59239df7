-- name: progress
-- How far an index is, in whichever of blocks and tuples PostgreSQL counts.
SELECT phase,
       coalesce(greatest(blocks_done, tuples_done), 0) AS done,
       coalesce(greatest(blocks_total, tuples_total), 0) AS total
  FROM pg_stat_progress_create_index
 WHERE pid = %(pid)s;

-- name: waited_for
-- Of another role's session only its name is shown, and not since when.
SELECT concat('pid ', pid, ' ' || nullif(application_name, ''),
              ', in its transaction since ' || to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI') || ' UTC') AS name
  FROM pg_stat_activity
 WHERE pid = ANY (pg_blocking_pids(%(pid)s))
 ORDER BY pid;
