-- name: count
SELECT count(*) AS count
  FROM {table};

-- name: unread
-- From which heap block on an old table is still to be read, and how many it has.
SELECT {staging}.resume_at({what}, old) AS first,
       coalesce(pg_relation_size(old), 0) / current_setting('block_size')::bigint AS blocks
  FROM to_regclass({old_text}) AS old;

-- name: memories
-- What the fingerprints of old memories are made of.
SELECT id, content, {staging}.as_name(user_id) AS user, {staging}.as_name(project_id) AS project
  FROM {old_memories}
 WHERE place >= '({first},0)'::tid
   AND place < '({end},0)'::tid;
