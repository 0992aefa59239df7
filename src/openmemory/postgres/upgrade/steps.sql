-- name: set_aside
-- What was set aside, repaired or not: what of and why, how many, and the id of one.
SELECT 'vectors: ' || reason AS reason, count(*) AS count, min(id::text) AS example
  FROM {vector_quarantine}
 GROUP BY reason
 UNION ALL
SELECT source || ': ' || reason, count(*), min(id)
  FROM {row_quarantine}
 GROUP BY source, reason
 ORDER BY 1;
