-- name: insert
-- The search row of a memory that is there; what it shares with the memory is read from there.
INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at,
                       seq, sectors, speaker_key, traits, terms, embedding)
SELECT m.tenant_id, m.id, m.primary_sector, m.user_id, m.project_id, m.session_id, g.session_key, m.occurred_at,
       m.seq, m.sectors, g.speaker_key, g.traits, g.terms, g.embedding
  FROM unnest(%(ids)s::uuid[], %(session_keys)s::int8[], %(speaker_keys)s::int4[], %(traits)s::int4[],
              %(terms)s::sparsevec[], %(embeddings)s::vector[])
       AS g (id, session_key, speaker_key, traits, terms, embedding)
  JOIN {memories} m
    ON m.tenant_id = %(tenant)s
   AND m.id = g.id;

-- name: delete
DELETE FROM {vectors}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s;

-- name: scan
-- Every row the scope may see, in the order of the conversations, read from the tenant index alone.
-- Each column is one string of fixed-size big-endian entries: the client reads a few values, not a thousand rows.
-- An entry of `numbers` is a float8, the sum of whole numbers side by side, exact below 2^53: the frequencies of the
-- question's terms as base-8 digits, from 2^24 the Hamming distance to its code, from 2^38 the traits. Sending a value
-- costs more than computing it, so it is one value, and what does not depend on the question is stored as sent.
-- A row without an embedding counts as at right angles to every question, so it is no nearer than chance.
-- The later columns are for those questions that need them, else they are null.
SELECT string_agg(float8send(coalesce(code <~> (SELECT binary_quantize(%(embedding)s::vector)::bit({dimension})),
                                      {dimension} / 2)
                             * 16777216::float8
                             - coalesce(terms <#> %(terms)s::sparsevec, 0)
                             + traits * 274877906944::float8),
                  '') AS numbers,
       string_agg(locator, '') AS locators,
       string_agg(CASE WHEN %(more_terms)s::sparsevec IS NOT NULL
                       THEN float8send(-(terms <#> %(more_terms)s::sparsevec)) END, '') AS more_terms,
       string_agg(CASE WHEN %(filtered)s THEN boolsend(coalesce(passes, false)) END, '') AS passing,
       string_agg(CASE WHEN %(speaker)s::int4 IS NOT NULL
                       THEN boolsend(speaker_key = %(speaker)s::int4) END, '') AS speaking,
       string_agg(CASE WHEN %(dated)s THEN timestamptz_send(occurred_at) END, '') AS occurred_at
  FROM (SELECT *,
               (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
               AND (%(sectors)s::int2 IS NULL OR sectors & %(sectors)s::int2 <> 0)
               AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
               AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
               AND (NOT %(by_memory)s OR id IN (SELECT m.id
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
