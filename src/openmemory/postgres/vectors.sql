-- name: insert
-- The search row of a memory that is there; what it shares with the memory is read from there. Whatever changes a row
-- also changes its number (`seq`): the memory's own, with the count of writings in bits 48 to 61.
INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at,
                       seq, sectors, speaker_key, traits, terms, embedding)
SELECT m.tenant_id, m.id, m.primary_sector, m.user_id, m.project_id, m.session_id, g.session_key, m.occurred_at,
       m.seq | (%(writing)s::int8 << 48), m.sectors, g.speaker_key, g.traits, g.terms, g.embedding
  FROM unnest(%(ids)s::uuid[], %(session_keys)s::int8[], %(speaker_keys)s::int4[], %(traits)s::int4[],
              %(terms)s::sparsevec[], %(embeddings)s::vector[])
       AS g (id, session_key, speaker_key, traits, terms, embedding)
  JOIN {memories} m
    ON m.tenant_id = %(tenant)s
   AND m.id = g.id;

-- name: resector
-- The search rows of a memory whose sector was changed, under another number. The row of its former sector becomes that of
-- the new one, unless there is such a row.
UPDATE {vectors} v
   SET sector = CASE WHEN v.sector = %(former)s
                      AND NOT EXISTS (SELECT
                                        FROM {vectors} o
                                       WHERE o.tenant_id = %(tenant)s
                                         AND o.id = v.id
                                         AND o.sector = m.primary_sector)
                     THEN m.primary_sector
                     ELSE v.sector
                END,
       sectors = m.sectors,
       seq = (v.seq & ~(16383::int8 << 48)) | ((((v.seq >> 48) + 1) & 16383) << 48)
  FROM {memories} m
 WHERE m.tenant_id = %(tenant)s
   AND m.id = %(id)s
   AND v.tenant_id = %(tenant)s
   AND v.id = m.id;

-- name: delete
DELETE FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s
RETURNING (seq >> 48) & 16383 AS writing;

-- name: version
-- Which rows the scope may see, told by how many there are and by a digest of their numbers, from the tenant index
-- alone. No row is changed under its number, so rows of the same version are the same rows; another table's are not.
-- A sum, since rows of one number would cancel each other in an exclusive or.
SELECT count(*) AS rows,
       coalesce(sum(hashint8extended(seq, 0)), 0) AS digest,
       coalesce(to_regclass(%(table)s)::oid::int8, 0) AS of_table
  FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND {of_scope};

-- name: columns
-- The rows of the scope, or those that came after a number, from the tenant index alone. Each column is one string of
-- entries as PostgreSQL sends them, of one size except for the term lists, whose sizes stand beside them: the client
-- reads a few values, not a thousand rows. A value may not pass 1 GB, so more rows than that make another string.
SELECT sum(hashint8extended(seq, 0)) AS digest,
       string_agg(locator, '') AS locators,
       string_agg(int8send(seq), '') AS seqs,
       string_agg(timestamptz_send(occurred_at), '') AS occurred_at,
       string_agg(int4send(speaker_key), '') AS speakers,
       string_agg(int4send(traits), '') AS traits,
       string_agg(boolsend(code IS NOT NULL), '') AS embedded,
       string_agg(bit_send(coalesce(code, 0::bit({dimension}))), '') AS codes,
       string_agg(int4send(length(terms_sent)), '') AS terms_bytes,
       string_agg(terms_sent, '') AS terms
  FROM (SELECT locator, seq, occurred_at, speaker_key, traits, code, sparsevec_send(terms) AS terms_sent,
               (row_number() OVER () - 1) / %(rows_at_most)s AS string
          FROM {vectors}
         WHERE tenant_id = %(tenant)s
           AND {of_scope}
           AND (%(after)s::int8 IS NULL OR (seq > %(after)s AND seq <= %(first_writings)s))) AS visible
 GROUP BY string;

-- name: passing
-- The numbers of the scope's rows that pass the filters.
SELECT string_agg(int8send(seq), '') AS seqs
  FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND {of_scope}
   AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
   AND (%(sectors)s::int2 IS NULL OR sectors & %(sectors)s::int2 <> 0)
   AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
   AND (NOT %(by_memory)s OR id IN (SELECT m.id
                                     FROM {memories} m
                                    WHERE m.tenant_id = %(tenant)s
                                      AND m.tags @> %(tags)s::text[]
                                      AND (%(tags_any)s::text[] IS NULL OR m.tags && %(tags_any)s)
                                      AND (%(metadata)s::jsonb IS NULL OR m.metadata @> %(metadata)s)));

-- name: term_sample
-- Term lists of the scope, or of those rows of its tenant that are of no user, for the words that are common there: all
-- or, of many, some from everywhere among them.
SELECT sparsevec_send(terms) AS terms
  FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND (NOT %(of_nobody)s OR user_id IS NULL)
   AND (%(of_nobody)s OR %(user)s::text IS NULL OR user_id = %(user)s)
   AND (%(project)s::text IS NULL OR project_id = %(project)s)
   AND hashint8extended(seq, 1) & 2147483647 <= (SELECT 2147483647 * least(1, %(most)s::float8 / greatest(1, count(*)))
                                                   FROM {vectors}
                                                  WHERE tenant_id = %(tenant)s
                                                    AND (NOT %(of_nobody)s OR user_id IS NULL)
                                                    AND (%(of_nobody)s OR %(user)s::text IS NULL OR user_id = %(user)s)
                                                    AND (%(project)s::text IS NULL OR project_id = %(project)s));
