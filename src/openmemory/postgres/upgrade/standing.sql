-- name: aside
-- What was set aside and is not repaired: what of, why, how many, and the first ids.
-- They are looked up for each reason: gathered with the count, millions of ids would be sorted in memory.
SELECT 'vectors' AS source, of_reason.reason, of_reason.rows AS count,
       ARRAY(SELECT q.id::text
               FROM {vector_quarantine} q
              WHERE q.repaired_at IS NULL
                AND q.reason = of_reason.reason
              ORDER BY q.id
              LIMIT 3) AS first_ids
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
SELECT relname AS name, pg_total_relation_size(oid) AS bytes
  FROM pg_class
 WHERE relnamespace = to_regnamespace(quote_ident({kept_text}))
   AND relkind = 'r'
 ORDER BY relname;

-- name: blocks
-- How long the old tables are that are read block by block; an upgrade records the block it was at.
SELECT what, pg_relation_size(to_regclass(name)) / current_setting('block_size')::bigint AS count
  FROM (VALUES ('memories', {old_memories_text}), ('waypoints', {old_waypoints_text}),
               ('vectors', {old_vectors_text})) AS old (what, name)
 WHERE to_regclass(name) IS NOT NULL;

-- name: repaired
-- Vectors that were set aside and made anew since.
SELECT count(*) AS count
  FROM {vector_quarantine}
 WHERE repaired_at IS NOT NULL;

-- name: name_model
UPDATE {lifted_meta}
   SET value = {name_text}
 WHERE name = 'embedding_model';
