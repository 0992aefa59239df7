-- name: tables
-- The file's tables as they are, in a schema of their own, so that an upgrade's steps convert them.
CREATE TABLE {memories} (
    id text PRIMARY KEY, user_id text, segment bigint, content text NOT NULL, simhash text, primary_sector text,
    tags text, meta text, created_at bigint, updated_at bigint, last_seen_at bigint, salience double precision,
    decay_lambda double precision, version bigint, feedback_score double precision
);
CREATE TABLE {vectors} (id text, sector text, user_id text, v bytea, dim bigint, PRIMARY KEY (id, sector));
CREATE TABLE {waypoints} (
    src_id text, dst_id text, user_id text, weight double precision, created_at bigint, updated_at bigint
);
CREATE TABLE {users} (
    user_id text, summary text, reflection_count bigint, created_at bigint, updated_at bigint
);
CREATE TABLE {temporal_facts} (
    id text, subject text, predicate text, object text, valid_from bigint, valid_to bigint,
    confidence double precision, last_updated bigint, metadata text
);

-- name: already
-- What the tenant has instead of a row of the file: how many say the same, how many do not, and the first of those. Within
-- the file no row contradicts another, for the steps have set that aside.
WITH held AS (
    SELECT 'users' AS source, n.user_id AS id, n.summary IS NOT DISTINCT FROM t.summary AS is_same
      FROM {new_users} n
      JOIN {users} t
        ON t.tenant_id = %(tenant)s
       AND t.user_id = n.user_id
     UNION ALL
    SELECT 'memories', n.id::text, (n.content, n.salience) = (t.content, t.salience) AND other.id IS NULL
      FROM {new_memories} n
      JOIN {memories} t
        ON t.tenant_id = %(tenant)s
       AND t.id = n.id
      LEFT JOIN (SELECT DISTINCT v.id
                   FROM {new_vectors} v
                   LEFT JOIN {vectors} w
                     ON w.tenant_id = %(tenant)s
                    AND w.id = v.id
                    AND w.sector = v.sector
                  WHERE v.embedding IS NOT NULL
                    AND (w.id IS NULL OR w.embedding::real[] <> v.embedding::real[])) AS other
        ON other.id = n.id
     UNION ALL
    SELECT 'waypoints', n.src_id || ' to ' || n.dst_id, n.weight = t.weight
      FROM {new_waypoints} n
      JOIN {waypoints} t
        ON t.tenant_id = %(tenant)s
       AND t.src_id = n.src_id
       AND t.dst_id = n.dst_id
     UNION ALL
    SELECT 'temporal_facts', either.id::text, bool_or(either.is_same)
      FROM (SELECT n.id, (n.subject, n.predicate, n.object, n.valid) = (t.subject, t.predicate, t.object, t.valid)
              FROM {new_temporal_facts} n
              JOIN {temporal_facts} t
                ON t.tenant_id = %(tenant)s
               AND t.id = n.id
             UNION ALL
            SELECT n.id, n.object = t.object AND n.valid <@ t.valid
              FROM {new_temporal_facts} n
              JOIN {temporal_facts} t
                ON t.tenant_id = %(tenant)s
               AND t.subject = n.subject
               AND t.predicate = n.predicate
               AND coalesce(t.user_id, '') = coalesce(n.user_id, '')
               AND coalesce(t.project_id, '') = coalesce(n.project_id, '')
               AND t.valid && n.valid) AS either (id, is_same)
     GROUP BY either.id
)
SELECT source, count(*) FILTER (WHERE is_same) AS same, count(*) FILTER (WHERE NOT is_same) AS contradicting,
       coalesce((array_agg(id ORDER BY id) FILTER (WHERE NOT is_same))[1:3], '{}') AS first_ids
  FROM held
 GROUP BY source;

-- name: users
INSERT INTO {users}
SELECT *
  FROM {new_users}
 WHERE tenant_id = %(tenant)s
    ON CONFLICT DO NOTHING;

-- name: memories
-- Those that the tenant does not have, with their search rows. Where it says the same already under another id, both
-- stay, and the one that was there is recognised.
WITH added AS (
    INSERT INTO {memories} (tenant_id, id, user_id, project_id, content, primary_sector, sectors, tags, metadata,
                            salience, salience_at, decay_rate, occurred_at, last_seen_at, created_at, updated_at,
                            version, fingerprint)
    SELECT n.tenant_id, n.id, n.user_id, n.project_id, n.content, n.primary_sector, n.sectors, n.tags, n.metadata,
           n.salience, n.salience_at, n.decay_rate, n.occurred_at, n.last_seen_at, n.created_at, n.updated_at,
           n.version,
           CASE WHEN n.turn = 1
                 AND NOT EXISTS (SELECT
                                   FROM {memories} m
                                  WHERE m.tenant_id = %(tenant)s
                                    AND m.fingerprint = n.fingerprint)
                THEN n.fingerprint
           END
      FROM (SELECT *, row_number() OVER (PARTITION BY fingerprint ORDER BY created_at, id) AS turn
              FROM {new_memories}
             WHERE tenant_id = %(tenant)s) AS n
        ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING id, seq
), indexed AS (
    INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at, seq,
                           sectors, speaker_key, traits, terms, embedding)
    SELECT v.tenant_id, v.id, v.sector, v.user_id, v.project_id, v.session_id, v.session_key, v.occurred_at, a.seq,
           v.sectors, v.speaker_key, v.traits, v.terms, v.embedding
      FROM {new_vectors} v
      JOIN added a
        ON a.id = v.id
)
SELECT count(*) AS count
  FROM added;

-- name: fill
-- Vectors for memories that were there without one, as an import leaves them that was not told the file's model: where the
-- tenant says the same. Bit 62 makes it another row to a server, as where a vector is repaired (reembedding.sql).
UPDATE {vectors} v
   SET embedding = n.embedding,
       seq = v.seq | (1::int8 << 62)
  FROM {new_vectors} n
  JOIN {new_memories} said
    ON said.id = n.id
  JOIN {memories} m
    ON m.tenant_id = %(tenant)s
   AND m.id = said.id
   AND m.content = said.content
 WHERE v.tenant_id = %(tenant)s
   AND v.id = n.id
   AND v.sector = n.sector
   AND v.embedding IS NULL
   AND n.embedding IS NOT NULL;

-- name: waypoints
INSERT INTO {waypoints}
SELECT *
  FROM {new_waypoints}
 WHERE tenant_id = %(tenant)s
    ON CONFLICT DO NOTHING;

-- name: facts
-- One that contradicts what the tenant knows is left out.
INSERT INTO {temporal_facts}
SELECT *
  FROM {new_temporal_facts}
 WHERE tenant_id = %(tenant)s
    ON CONFLICT DO NOTHING;

-- name: without_vector
SELECT m.id, m.content
  FROM {memories} m
 WHERE m.tenant_id = %(tenant)s
   AND m.id = ANY (%(ids)s::uuid[])
   AND EXISTS (SELECT
                 FROM {vectors} v
                WHERE v.tenant_id = %(tenant)s
                  AND v.id = m.id
                  AND v.embedding IS NULL)
 ORDER BY m.id;
