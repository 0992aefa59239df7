-- name: all_texts
-- A tenant's texts in the order of their ids, after one of them.
SELECT id, content, speaker, user_id, project_id, session_id
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND (%(after)s::uuid IS NULL OR id > %(after)s)
 ORDER BY id
 LIMIT %(limit)s;

-- name: texts_to_do
-- Those that have no row in the new table yet: the rows that are there are the checkpoint.
SELECT m.id, m.content, m.speaker, m.user_id, m.project_id, m.session_id
  FROM {memories} m
 WHERE m.tenant_id = %(tenant)s
   AND (%(after)s::uuid IS NULL OR m.id > %(after)s)
   AND NOT EXISTS (SELECT
                     FROM {vectors} v
                    WHERE v.tenant_id = %(tenant)s
                      AND v.id = m.id)
 ORDER BY m.id
 LIMIT %(limit)s;

-- name: texts_of
SELECT id, content, speaker, user_id, project_id, session_id
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND id = ANY (%(ids)s::uuid[]);

-- name: count_all
SELECT count(*) AS count
  FROM {memories}
 WHERE tenant_id = %(tenant)s;

-- name: count_done
SELECT count(*) AS count
  FROM {vectors}
 WHERE tenant_id = %(tenant)s;

-- name: forget
DELETE FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND id = ANY (%(ids)s::uuid[]);

-- name: unfinished
SELECT tenant_id AS name
  FROM {tenants_to_do}
 ORDER BY tenant_id;

-- name: finish
DELETE FROM {tenants_to_do}
 WHERE tenant_id = ANY (%(tenants)s::text[]);

-- name: last_change
SELECT coalesce(max(place), 0) AS place
  FROM {changes};

-- name: changes
SELECT place, tenant_id AS tenant, id
  FROM {changes}
 WHERE place <= %(last)s
 ORDER BY place
 LIMIT %(limit)s;

-- name: settle
DELETE FROM {changes}
 WHERE place = ANY (%(places)s::int8[]);

-- name: aside
-- What an upgrade set aside and is not repaired.
SELECT entry AS place, tenant_id AS tenant, id
  FROM {vector_quarantine}
 WHERE entry > %(after)s
   AND repaired_at IS NULL
 ORDER BY entry
 LIMIT %(limit)s;

-- name: count_aside
SELECT count(*) AS count
  FROM {vector_quarantine}
 WHERE repaired_at IS NULL;

-- name: mark_repaired
-- The old value stays, whole: where the old tables are dropped, it is all there is of it.
UPDATE {vector_quarantine}
   SET repaired_at = now()
 WHERE entry = ANY (%(places)s::int8[]);

-- name: without_embedding
-- Which of these memories have a search row without a vector, or with the one of a text that was refused.
SELECT DISTINCT id
  FROM {used_vectors}
 WHERE tenant_id = %(tenant)s
   AND id = ANY (%(ids)s::uuid[])
   AND (embedding IS NULL OR embedding::vector = (%(nothing)s::vector[])[1]);

-- name: repair
-- Only where there is none still: a memory that was changed meanwhile has a newer one. A server that knows the row by
-- its number must see that it is another one: bit 62 says so.
UPDATE {used_vectors} v
   SET embedding = g.embedding,
       seq = v.seq | (1::int8 << 62)
  FROM unnest(%(ids)s::uuid[], %(embeddings)s::vector[]) AS g (id, embedding)
 WHERE v.tenant_id = %(tenant)s
   AND v.id = g.id
   AND (v.embedding IS NULL OR v.embedding::vector = (%(nothing)s::vector[])[1]);
