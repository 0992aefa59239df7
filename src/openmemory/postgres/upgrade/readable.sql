-- name: misread
-- Values of a column that do not meet what they could be read by, and the key of a row that has one.
SELECT count(*) AS count, coalesce(min({key}), 'NULL') AS example
  FROM {table}
 WHERE {column} IS NOT NULL
   AND ({holds}) IS NOT TRUE;

-- name: without_content
SELECT count(*) AS count, coalesce(min(id::text COLLATE "default"), '') AS example
  FROM {old_memories_table}
 WHERE content IS NULL;

-- name: without
SELECT count(*) AS count
  FROM {table}
 WHERE {column} IS NULL;
