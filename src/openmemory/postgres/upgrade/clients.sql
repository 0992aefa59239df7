-- name: sessions
-- Other sessions of clients that may be an old server's. It is likely of one that holds a lock of a writer on an old table,
-- or whose last statement wrote to one, or began or ended a transaction: upstream's server writes between BEGIN and
-- COMMIT, so COMMIT is all that shows of it. Its pool gives its sessions no name, so one without a name that only read an
-- old table is likely as well; of one without a name that last did something else nobody knows.
--
-- One with a name (PGAPPNAME gives upstream's pool one) may be an old server's if its last statement named one of
-- upstream's tables, or said nothing of who it is: a pool's ping, such as SELECT 1, or its SET and DISCARD. It is none if
-- it read other tables or called PostgreSQL's own functions, as whatever watches a server does, and if it calls itself a
-- monitoring agent, or an owner's tool or a backup, which may end a transaction as well; nor is a server of this version,
-- which works in another schema.
SELECT a.pid, coalesce(a.application_name, '') AS application, coalesce(host(a.client_addr), '') AS address,
       coalesce(a.usename, '') AS user, coalesce(a.state, '') AS state, a.is_likely
  FROM (SELECT *,
               query ~* {writes}
               OR (query ~* '^\s*(begin|start|commit|end|rollback|abort)\M'
                   AND application_name !~* {tools})
               OR (application_name = '' AND query ~* {names})
               OR EXISTS (
                   SELECT FROM pg_locks AS l
                    WHERE l.pid = s.pid
                      AND l.granted
                      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND l.relation IN (to_regclass({old_memories_text}), to_regclass({old_vectors_text}),
                                         to_regclass({old_waypoints_text}), to_regclass({old_users_text}),
                                         to_regclass({old_facts_text}))
                      AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                                     'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')) AS is_likely
          FROM pg_stat_activity AS s
         WHERE datname = current_database()
           AND pid <> pg_backend_pid()
           AND backend_type = 'client backend'
           AND application_name !~ '^openmemory( (serve|command) |-(direct|reembed)$)') AS a
 WHERE a.is_likely
    OR (a.application_name = '' AND a.query <> '')
    OR (a.application_name !~* {tools}
        AND a.application_name !~* {monitoring}
        AND (a.query ~* {names}
             OR a.query ~* {also_names}
             OR (a.query ~* '^(\s|/\*.*\*/|--[^\n]*\n)*(select|values|set|reset|discard|deallocate|close|unlisten)\M'
                 AND a.query !~* '\m(from|join|into)\M|\mpg_(?!advisory_unlock_all\M)\w+\s*\(')))
 ORDER BY a.pid;

-- name: hidden
-- Sessions whose statements PostgreSQL shows only to their own role and to members of pg_read_all_stats; its own
-- processes have no user.
SELECT count(*) AS count
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND usesysid IS NOT NULL
   AND pid <> pg_backend_pid()
   AND query = '<insufficient privilege>';

-- name: others
-- Other clients' sessions, whatever they do.
SELECT pid, coalesce(application_name, '') AS application, coalesce(host(client_addr), '') AS address,
       coalesce(usename, '') AS user, coalesce(state, '') AS state
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND usesysid IS NOT NULL
   AND pid <> pg_backend_pid()
 ORDER BY pid;
