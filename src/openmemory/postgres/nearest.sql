-- name: nearest
-- The k best of the rows that ranked best by estimate, now with the exact similarity, best first. An old database has
-- a row for each sector of a memory: the nearest of them counts. Each id brings its place along and is looked up by
-- itself, which takes time in proportion to how many there are; a place found in the array would take their square.
-- Salience adds a share of a score that is above 0, so only those that it could lift to the k-th are read for it.
SELECT m.id, m.content, m.primary_sector, m.sectors, m.tags, m.metadata, m.user_id, m.project_id, m.session_id,
       m.speaker, m.salience, m.salience_at, m.decay_rate, m.occurred_at, m.created_at, m.updated_at, m.last_seen_at,
       m.version, best.similarity, best.place
  FROM (SELECT id, place, similarity, score, greatest(score, score * (1 + %(salience_share)s)) AS at_most,
               nth_value(score, %(k)s) OVER (ORDER BY score DESC ROWS BETWEEN UNBOUNDED PRECEDING
                                                                      AND UNBOUNDED FOLLOWING) AS kth
          FROM (SELECT id, place, similarity,
                       (%(partials)s::float4[])[place] + (%(weights)s::float4[])[place] * coalesce(similarity, 0)
                       AS score
                  FROM (SELECT v.id, min(wanted.place)::int4 AS place, max({similarity}) AS similarity
                          FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted (id, place)
                          JOIN {vectors} v
                            ON v.tenant_id = %(tenant)s
                           AND v.id = wanted.id
                         GROUP BY v.id) AS found) AS scored) AS best
  JOIN {memories} m
    ON m.tenant_id = %(tenant)s
   AND m.id = best.id
 CROSS JOIN LATERAL (
        SELECT CASE WHEN best.score > 0
                    THEN best.score
                         * (1 + %(salience_share)s * {faded}(m.salience, m.decay_rate, m.salience_at, %(now)s))
                    ELSE best.score
               END AS relevance) AS with_salience
 WHERE (best.kth IS NULL OR best.at_most >= best.kth)
   AND (%(min_relevance)s::float8 IS NULL OR relevance >= %(min_relevance)s)
 ORDER BY relevance DESC, best.place
 LIMIT %(k)s;
