-- What `openmemory migrate` reads before it asks. Nothing is changed here.

-- name: server
-- The versions that an owner is asked for first, without the mark that packagers put behind a blank.
-- pg_available_extensions says what the disk of the server holds.
SELECT split_part(current_setting('server_version'), ' ', 1),
       (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector');

-- name: tablespace
-- Where the old vectors lie, if not where the database makes its tables, and whether the login may make some there.
SELECT s.spcname, has_tablespace_privilege(s.oid, 'CREATE')
  FROM pg_class c
  JOIN pg_tablespace s
    ON s.oid = c.reltablespace
 WHERE c.oid = to_regclass({old_vectors_text});

-- name: tables
SELECT tablename
  FROM pg_tables
 WHERE schemaname = {final_text}
 ORDER BY tablename;

-- name: columns
-- The types of a table's columns, of a domain that at its end; one of an owner's own with parts is a record. format_type()
-- puts the schema before a type that the session does not see; pgvector's typmod is the dimension.
WITH RECURSIVE typed AS (
    SELECT attname, atttypid AS type, atttypmod AS typmod
      FROM pg_attribute
     WHERE attrelid = to_regclass(%s)
       AND attnum > 0
       AND NOT attisdropped
     UNION ALL
    SELECT d.attname, t.typbasetype, t.typtypmod
      FROM typed d
      JOIN pg_type t
        ON t.oid = d.type
       AND t.typtype = 'd'
)
SELECT d.attname,
       CASE WHEN t.typname IN ('vector', 'halfvec')
            THEN concat(t.typname, '(' || nullif(d.typmod, -1) || ')')
            WHEN t.typtype = 'c'
            THEN 'record'
            WHEN e.typtype IN ('c', 'd')
            THEN 'record[]'
            ELSE format_type(d.type, d.typmod)
       END
  FROM typed d
  JOIN pg_type t
    ON t.oid = d.type
   AND t.typtype <> 'd'
  LEFT JOIN pg_type e
    ON e.oid = t.typelem
   AND t.typcategory = 'A';

-- name: lookalikes
-- Tables with upstream's columns of memories or of vectors, whatever they are called.
SELECT c.relname,
       array_agg(a.attname::text) @> ARRAY['id', 'content', 'primary_sector'] AS like_memories,
       array_agg(a.attname::text) @> ARRAY['id', 'sector', 'dim'] AS like_vectors
  FROM pg_class c
  JOIN pg_namespace n
    ON n.oid = c.relnamespace
  JOIN pg_attribute a
    ON a.attrelid = c.oid
   AND a.attnum > 0
   AND NOT a.attisdropped
 WHERE n.nspname = {final_text}
   AND c.relkind IN ('r', 'p')
 GROUP BY c.relname
 ORDER BY c.relname;

-- name: rows
-- Exact, for the owner compares it with the rows of the new tables.
SELECT count(*), pg_total_relation_size({table_text}::regclass)
  FROM {table};

-- name: texts
-- One pass over the old memories without reading long values: their size stands beside the TOAST pointer.
SELECT coalesce(sum({each}), 0)
  FROM {old_memories_table};

-- name: vectors
-- One pass over the old vectors: bytes of a value without reading it (its length stands beside a TOAST pointer), and
-- whether its memory is there.
SELECT {bytes}::bigint, m.id IS NOT NULL, count(*)
  FROM {old_vectors_table} AS v
  LEFT JOIN {memory_ids} AS m
    ON {same_id}
 GROUP BY 1, 2;

-- name: without_vector
SELECT count(*)
  FROM {old_memories_table} AS m
 WHERE NOT EXISTS (SELECT FROM {old_vectors_table} AS v WHERE {same_id});

-- name: not_finite
-- NaN and infinity have an exponent of ones: in the hexadecimal digits of a little-endian float32, the first bit of the
-- third byte and the last seven of the fourth. In an infinity all else but the sign is 0. Reads every byte, so only asked
-- of small tables. A vector without a memory counts as such only.
SELECT count(*) FILTER (WHERE has_nan), count(*) FILTER (WHERE NOT has_nan)
  FROM (SELECT digits ~ '^(?:.{8})*(?!000080).{4}[89a-f].[7f]f' AS has_nan
          FROM (SELECT encode({value}, 'hex') AS digits
                  FROM {old_vectors_table} AS v
                  JOIN {memory_ids} AS m
                    ON {same_id}
                 WHERE octet_length({value}) = {own_bytes}) AS own
         WHERE digits ~ '^(?:.{8})*.{4}[89a-f].[7f]f') AS odd;

-- name: sessions
-- Other sessions of clients that may be an old server's. It is likely of one that holds a lock of a writer on an old table,
-- or whose last statement wrote to one, or began or ended a transaction: upstream's server writes between BEGIN and
-- COMMIT, so COMMIT is all that shows of it. Its pool gives its sessions no name, so one without a name that only read an
-- old table is likely as well; of one without a name that last did something else nobody knows.
--
-- One with a name (PGAPPNAME gives upstream's pool one) may be an old server's if its last statement named one of
-- upstream's tables, or said nothing of who it is: a pool's ping, such as SELECT 1, or its SET and DISCARD. It is none if
-- it read other tables or called PostgreSQL's own functions, as whatever watches a server does, and if it calls itself a
-- monitoring agent, or an owner's tool or a backup, which may end a transaction as well.
SELECT a.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''), coalesce(a.usename, ''),
       coalesce(a.state, ''), a.is_likely
  FROM (SELECT *,
               query ~* {writes}
               OR (query ~* '^\s*(begin|start|commit|end|rollback|abort)\M'
                   AND application_name !~* '^(psql|pg_|pgadmin|dbeaver|datagrip)')
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
           AND application_name <> {ours}) AS a
 WHERE a.is_likely
    OR (a.application_name = '' AND a.query <> '')
    OR (a.application_name !~* '^(psql|pg_|pgadmin|dbeaver|datagrip)'
        AND a.application_name !~* 'datadog|grafana|prometheus|exporter|pganalyze|pgwatch|pghero|telegraf|zabbix|nagios'
        AND (a.query ~* {names}
             OR a.query ~* {also_names}
             OR (a.query ~* '^(\s|/\*.*\*/|--[^\n]*\n)*(select|values|set|reset|discard|deallocate|close|unlisten)\M'
                 AND a.query !~* '\m(from|join|into)\M|\mpg_(?!advisory_unlock_all\M)\w+\s*\(')))
 ORDER BY a.pid;

-- name: hidden
-- Sessions whose statements PostgreSQL shows only to their own role and to members of pg_read_all_stats; its own
-- processes have no user.
SELECT count(*)
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND usesysid IS NOT NULL
   AND pid <> pg_backend_pid()
   AND query = '<insufficient privilege>';

-- name: others
-- Other clients' sessions, whatever they do.
SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(usename, ''), coalesce(state, '')
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND usesysid IS NOT NULL
   AND pid <> pg_backend_pid()
 ORDER BY pid;

-- name: repaired
-- Vectors that were set aside and made anew since.
SELECT count(*)
  FROM {vector_quarantine}
 WHERE repaired_at IS NOT NULL;

-- name: written
-- How many rows of the old tables were ever inserted, updated or deleted; a session tells within a second or so.
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
  FROM pg_stat_all_tables
 WHERE relid IN (to_regclass({old_memories_text}), to_regclass({old_vectors_text}), to_regclass({old_waypoints_text}),
                 to_regclass({old_users_text}), to_regclass({old_facts_text}));

-- name: aside
-- What was set aside and is not repaired: what of, why, how many, and the first ids.
-- They are looked up for each reason: gathered with the count, millions of ids would be sorted in memory.
SELECT 'vectors', of_reason.reason, of_reason.rows,
       ARRAY(SELECT q.id::text
               FROM {vector_quarantine} q
              WHERE q.repaired_at IS NULL
                AND q.reason = of_reason.reason
              ORDER BY q.id
              LIMIT 3)
  FROM (SELECT reason, count(*) AS rows
          FROM {vector_quarantine}
         WHERE repaired_at IS NULL
         GROUP BY reason) AS of_reason
 UNION ALL
SELECT of_reason.source, of_reason.reason, of_reason.rows,
       ARRAY(SELECT q.id
               FROM {row_quarantine} q
              WHERE q.source = of_reason.source
                AND q.reason = of_reason.reason
              ORDER BY q.id
              LIMIT 3)
  FROM (SELECT source, reason, count(*) AS rows
          FROM {row_quarantine}
         GROUP BY source, reason) AS of_reason
 ORDER BY 1, 2;

-- name: kept
-- The old tables that are kept beside the new ones, and the disk they hold.
SELECT relname, pg_total_relation_size(oid)
  FROM pg_class
 WHERE relnamespace = to_regnamespace(quote_ident({kept_text}))
   AND relkind = 'r'
 ORDER BY relname;

-- name: blocks
-- How long the old tables are that are read block by block; an upgrade records the block it was at.
SELECT what, pg_relation_size(to_regclass(name)) / current_setting('block_size')::bigint
  FROM (VALUES ('memories', {old_memories_text}), ('waypoints', {old_waypoints_text}),
               ('vectors', {old_vectors_text})) AS old (what, name)
 WHERE to_regclass(name) IS NOT NULL;

-- name: name_model
UPDATE {lifted_meta}
   SET value = {name_text}
 WHERE name = 'embedding_model';

-- name: twice
-- Ids that more than one row has, of those that share `and_by`; one UUID in two writings is one id.
SELECT count(*), coalesce(min(written), '')
  FROM (SELECT min(id::text) AS written
          FROM {table}
         GROUP BY CASE WHEN id::text ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$'
                       THEN lower(replace(id::text, '-', ''))
                       ELSE id::text
                  END{and_by}
        HAVING count(*) > 1) AS twice;

-- name: keyed
-- Whether a table's own key keeps its rows apart.
SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = {table_text}::regclass AND indisprimary AND indisvalid);

-- name: elsewhere
-- Other schemas with a table of this name, but for what an upgrade keeps, and whether no migration of ours is there.
SELECT schemaname,
       NOT EXISTS (SELECT
                     FROM pg_tables m
                    WHERE m.schemaname = t.schemaname
                      AND m.tablename = 'openmemory_migrations')
  FROM pg_tables t
 WHERE tablename = {memories_text}
   AND schemaname NOT IN ({final_text}, {staging_text}, {kept_text})
   AND schemaname !~ '^openmemory_(old|new)_'
 ORDER BY schemaname;

-- name: serving
-- Sessions of the login that serves. A pool's last statement is mostly COMMIT, so they are known by the login; an owner's
-- own tools name themselves.
SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), ''), coalesce(usename, ''), coalesce(state, '')
  FROM pg_stat_activity
 WHERE datname = current_database()
   AND pid <> pg_backend_pid()
   AND coalesce(backend_type, 'client backend') = 'client backend'
   AND usename = coalesce({login_text}, current_user)
   AND application_name !~* '^(psql|pg_|pgadmin|dbeaver|datagrip)'
 ORDER BY pid;

-- name: without_content
SELECT count(*), coalesce(min(id::text), '')
  FROM {old_memories_table}
 WHERE content IS NULL;
