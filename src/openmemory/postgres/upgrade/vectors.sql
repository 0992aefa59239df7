-- name: old
-- The vectors in some blocks of the old table: what a search row has of the memory, then content and value, then what only
-- the quarantine gets.
COPY (
    SELECT m.tenant_id, m.id, v.sector, m.user_id, m.project_id, m.session_id, m.occurred_at, m.seq, m.sectors,
           m.content, {value},
           v.id, v.sector, v.user_id, v.dim::text, CASE WHEN m.id IS NULL THEN v.original::text END
      FROM {old_vectors} v
      LEFT JOIN {old_owners} o
        ON o.raw_id = v.raw_id
      LEFT JOIN {memories} m
        ON m.tenant_id = {staging}.as_tenant(o.tenant_id, o.user_id)
       AND m.id = {staging}.as_id(o.id)
     WHERE v.place >= '({first},0)'::tid
       AND v.place < '({end},0)'::tid
) TO STDOUT (FORMAT binary);

-- name: without
-- Memories that upstream kept without any vector, with the same columns: such a one is found by its words.
COPY (
    SELECT m.tenant_id, m.id, m.primary_sector, m.user_id, m.project_id, m.session_id, m.occurred_at, m.seq, m.sectors,
           m.content, NULL::bytea,
           o.id, m.primary_sector, o.user_id, NULL::text, NULL::text
      FROM {old_memories} o
      JOIN {memories} m
        ON m.tenant_id = {staging}.as_tenant(o.tenant_id, o.user_id)
       AND m.id = {staging}.as_id(o.id)
     WHERE NOT EXISTS (SELECT FROM {old_vectors} v WHERE v.raw_id = o.raw_id)
) TO STDOUT (FORMAT binary);

-- name: list_without
-- They are listed with those to repair, by PostgreSQL itself: there may be millions, and they have no bytes to bring along.
INSERT INTO {vector_quarantine} (tenant_id, id, sector, user_id, reason)
SELECT m.tenant_id, m.id, m.primary_sector, o.user_id, 'no value'
  FROM {old_memories} o
  JOIN {memories} m
    ON m.tenant_id = {staging}.as_tenant(o.tenant_id, o.user_id)
   AND m.id = {staging}.as_id(o.id)
 WHERE NOT EXISTS (SELECT FROM {old_vectors} v WHERE v.raw_id = o.raw_id);

-- name: new
-- The columns as they come from `old` and `without`, then those that are made of them.
COPY {vectors} (tenant_id, id, sector, user_id, project_id, session_id, occurred_at, seq, sectors,
                session_key, speaker_key, traits, terms, embedding)
FROM STDIN (FORMAT binary);

-- name: set_aside
INSERT INTO {vector_quarantine} (tenant_id, id, sector, user_id, dim, original, v, reason)
VALUES (coalesce(%s, {tenant}), {staging}.as_id(%s), %s, %s, %s::int4, %s::jsonb, %s, %s);
