-- name: insert
-- The search rows of new memories; what they share with the memories is read from there.
INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, occurred_at, seq, sectors,
                       speaker_key, marks, length, terms, embedding)
SELECT m.tenant_id, m.id, m.primary_sector, m.user_id, m.project_id, m.session_id, m.occurred_at, m.seq, m.sectors,
       g.speaker_key, g.marks, g.length, g.terms, g.embedding
  FROM unnest(%(ids)s::uuid[], %(speaker_keys)s::int4[], %(marks)s::int2[], %(lengths)s::int2[],
              %(terms)s::sparsevec[], %(embeddings)s::vector[])
       AS g (id, speaker_key, marks, length, terms, embedding)
  JOIN {memories} m
    ON m.tenant_id = %(tenant)s
   AND m.id = g.id;

-- name: delete
DELETE FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s;

-- name: scan
-- Every row the scope may see as one string of fixed-size records, in the order of the conversations. Reads only the
-- tenant index. One value instead of a row each: a thousand rows cost the client one read, not a thousand.
-- A record is, big-endian: int8 of bit fields (24 term digits, 14 Hamming distance, 14 length, 4 marks, 1 passes the
-- filters), int8 of 24 further term digits, timestamp, id, int8 session key (0: none), int4 speaker key.
SELECT string_agg(
         int8send(coalesce(-(terms <#> %(terms)s::sparsevec), 0)::int8
                  | (coalesce(code <~> (SELECT binary_quantize(%(embedding)s::vector)::bit({dimension})), 0)::int8 << 24)
                  | (length::int8 << 38)
                  | (marks::int8 << 52)
                  | CASE WHEN passes THEN 1::int8 << 56 ELSE 0 END)
         || int8send(coalesce(-(terms <#> %(more_terms)s::sparsevec), 0)::int8)
         || timestamptz_send(occurred_at)
         || uuid_send(id)
         || int8send(coalesce(hashtextextended(session_id, coalesce(hashtext(user_id), 0)), 0))
         || int4send(speaker_key),
         '') AS records
  FROM (SELECT *,
               (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
               AND (%(sectors)s::int2 IS NULL OR sectors & %(sectors)s::int2 <> 0)
               AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
               AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
               AND (%(any_memory)s OR id IN (SELECT m.id
                                               FROM {memories} m
                                              WHERE m.tenant_id = %(tenant)s
                                                AND m.tags @> %(tags)s::text[]
                                                AND (%(tags_any)s::text[] IS NULL OR m.tags && %(tags_any)s)
                                                AND (%(metadata)s::jsonb IS NULL OR m.metadata @> %(metadata)s)))
               AS passes
          FROM {vectors}
         WHERE tenant_id = %(tenant)s
           AND (%(user)s::text IS NULL OR user_id = %(user)s OR (%(shared)s AND user_id IS NULL))
           AND (%(project)s::text IS NULL OR project_id = %(project)s)
         ORDER BY user_id, session_id, occurred_at, seq) AS visible;

-- name: term_sample
-- Term lists of the scope, for the words that are common in it.
SELECT sparsevec_send(terms) AS terms
  FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND (%(user)s::text IS NULL OR user_id = %(user)s)
   AND (%(project)s::text IS NULL OR project_id = %(project)s)
 LIMIT %(most)s;
