-- What `openmemory migrate` reads before it asks. Nothing is changed here.

-- name: server
-- The versions that an owner is asked for first, without the mark that packagers put behind a blank.
-- pg_available_extensions says what the disk of the server holds.
SELECT split_part(current_setting('server_version'), ' ', 1) AS server,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS installed,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available;

-- name: tablespace
-- Where the old vectors lie, if not where the database makes its tables, and whether the login may make some there.
SELECT s.spcname AS name, has_tablespace_privilege(s.oid, 'CREATE') AS may_create
  FROM pg_class c
  JOIN pg_tablespace s
    ON s.oid = c.reltablespace
 WHERE c.oid = to_regclass({old_vectors_text});

-- name: tables
SELECT tablename AS name
  FROM pg_tables
 WHERE schemaname = {final_text}
 ORDER BY tablename;

-- name: lookalikes
-- Tables with upstream's columns of memories or of vectors, whatever they are called.
SELECT c.relname AS name,
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
SELECT count(*) AS count, pg_total_relation_size({table_text}::regclass) AS bytes
  FROM {table};

-- name: texts
-- One pass over the old memories without reading long values: their sizes, compressed and not, stand beside the TOAST
-- pointer.
SELECT coalesce(sum({each}), 0)::bigint AS bytes,
       coalesce(sum({content}), 0)::bigint AS said
  FROM {old_memories_table};

-- name: written
-- How many rows of the old tables were ever inserted, updated or deleted; a session tells within a second or so.
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint AS count
  FROM pg_stat_all_tables
 WHERE relid IN (to_regclass({old_memories_text}), to_regclass({old_vectors_text}), to_regclass({old_waypoints_text}),
                 to_regclass({old_users_text}), to_regclass({old_facts_text}));

-- name: twice
-- Ids that more than one row has, of those that share `and_by`; one UUID in two writings is one id.
SELECT count(*) AS count, coalesce(min(written), '') AS example
  FROM (SELECT min(id::text COLLATE "default") AS written
          FROM {table}
         GROUP BY CASE WHEN id::text COLLATE "default" ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$'
                       THEN lower(replace(id::text COLLATE "default", '-', ''))
                       ELSE id::text COLLATE "default"
                  END{and_by}
        HAVING count(*) > 1) AS twice;

-- name: keyed
-- Whether a table's own key keeps its rows apart.
SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = {table_text}::regclass AND indisprimary AND indisvalid) AS yes;

-- name: elsewhere
-- Tables of memories in other schemas, but for what an upgrade keeps: those of this name, and whether a migration of ours is
-- there; and where none is, those with upstream's columns of memories, whatever they are called.
SELECT n.nspname AS schema, c.relname AS table, m.oid IS NULL AS is_old
  FROM pg_class c
  JOIN pg_namespace n
    ON n.oid = c.relnamespace
  LEFT JOIN pg_class m
    ON m.relnamespace = n.oid
   AND m.relname = 'openmemory_migrations'
   AND m.relkind = 'r'
 WHERE c.relkind IN ('r', 'p')
   AND n.nspname NOT IN ({final_text}, {staging_text}, {kept_text})
   AND n.nspname !~ '^(openmemory_(old|new)|pg_temp)_'
   AND (c.relname = {memories_text}
        OR (m.oid IS NULL
            AND ARRAY(SELECT a.attname::text
                        FROM pg_attribute a
                       WHERE a.attrelid = c.oid
                         AND a.attnum > 0
                         AND NOT a.attisdropped) @> ARRAY['id', 'content', 'primary_sector', 'decay_lambda']))
 ORDER BY n.nspname, c.relname;
