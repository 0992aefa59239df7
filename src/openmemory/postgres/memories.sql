-- name: insert
-- New memories in the order given; one that was said before is reinforced instead. Only those come back,
-- each with its own id: nothing needs to be said of what is new.
-- Run again because the first run may have been done, it passes over what that kept, and reinforces nothing twice: its
-- rows carry this request's own instants.
-- An id that another memory has already is refused also for what was said before, by a count that may not be null. (To
-- set the id itself would violate the primary key, but lock the row against everything that refers to it.)
-- Its search row and a user seen for the first time are written in the same round trip.
-- Batches of a tenant take turns: the order given is not the same in all, and two that wait for each other's memories
-- would deadlock. (One order of fingerprints in all would spoil the order of arrival.) A memory alone waits for no turn.
WITH given AS (
    SELECT *
      FROM unnest(%(ids)s::uuid[], %(users)s::text[], %(projects)s::text[], %(sessions)s::text[], %(speakers)s::text[],
                  %(contents)s::text[], %(primary_sectors)s::text[], %(sectors)s::int2[], %(tags)s::text[],
                  %(metadata)s::text[], %(saliences)s::float8[], %(decay_rates)s::float8[],
                  %(created)s::timestamptz[], %(occurred)s::timestamptz[], %(fingerprints)s::uuid[],
                  %(session_keys)s::int8[], %(speaker_keys)s::int4[], %(traits)s::int4[], %(terms)s::sparsevec[],
                  %(embeddings)s::vector[])
           WITH ORDINALITY
           AS g (id, user_id, project_id, session_id, speaker, content, primary_sector, sectors, tags, metadata,
                 salience, decay_rate, created_at, occurred_at, fingerprint, session_key, speaker_key, traits, terms, embedding,
                 place)
     WHERE cardinality(%(ids)s::uuid[]) = 1
        OR (SELECT pg_advisory_xact_lock(hashtext('memories in turn'), hashtext(%(tenant)s))) IS NOT NULL
), met AS (
    INSERT INTO {users} (tenant_id, user_id)
    SELECT DISTINCT %(tenant)s, user_id
      FROM given
     WHERE user_id IS NOT NULL
     ORDER BY user_id
        ON CONFLICT DO NOTHING
), kept AS (
    INSERT INTO {memories} AS m (tenant_id, id, user_id, project_id, session_id, speaker, content, primary_sector,
                                 sectors, tags, metadata, salience, salience_at, decay_rate, occurred_at, last_seen_at,
                                 created_at, updated_at, fingerprint)
    SELECT %(tenant)s, id, user_id, project_id, session_id, speaker, content, primary_sector, sectors,
           CASE tags WHEN '[]' THEN '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)) END, metadata::jsonb,
           salience, %(now)s, decay_rate, occurred_at, %(now)s, created_at, %(now)s, fingerprint
      FROM given
     ORDER BY place
        ON CONFLICT (tenant_id, fingerprint) DO UPDATE
       SET repetitions = CASE WHEN (SELECT other.id
                                      FROM {memories} other
                                     WHERE other.tenant_id = %(tenant)s
                                       AND other.id = EXCLUDED.id) <> m.id
                              THEN NULL
                              ELSE m.repetitions + CASE WHEN %(again)s AND m.salience_at = %(now)s THEN 0 ELSE 1 END
                         END,
           salience = least(1, {faded}(m.salience, m.decay_rate, m.salience_at, %(now)s)
                               + CASE WHEN %(again)s AND m.salience_at = %(now)s THEN 0 ELSE %(boost)s END),
           salience_at = %(now)s,
           last_seen_at = %(now)s
     WHERE NOT (%(again)s AND m.id = EXCLUDED.id AND m.created_at = EXCLUDED.created_at)
    RETURNING m.id, m.fingerprint, m.primary_sector, m.sectors, m.occurred_at, m.seq,
              m.repetitions > 0 AS deduplicated
), indexed AS (
    INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at, seq,
                           sectors, speaker_key, traits, terms, embedding)
    SELECT %(tenant)s, k.id, k.primary_sector, g.user_id, g.project_id, g.session_id, g.session_key, k.occurred_at,
           k.seq, k.sectors, g.speaker_key, g.traits, g.terms, g.embedding
      FROM kept k
      JOIN given g
        ON g.fingerprint = k.fingerprint
     WHERE NOT k.deduplicated
)
SELECT id, fingerprint, primary_sector, sectors
  FROM kept
 WHERE deduplicated;

-- name: get
SELECT id, content, primary_sector, sectors, tags, metadata, user_id, project_id, session_id, speaker, salience,
       salience_at, decay_rate, occurred_at, created_at, updated_at, last_seen_at, version
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s;

-- name: get_for_update
SELECT id, content, primary_sector, sectors, tags, metadata, user_id, project_id, session_id, speaker, salience,
       salience_at, decay_rate, occurred_at, created_at, updated_at, last_seen_at, version
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s
   FOR UPDATE;

-- name: listing
-- Memories, the newest first, after a place in the order of arrival: an instant and, for those of a batch, an id.
SELECT id, content, primary_sector, sectors, tags, metadata, user_id, project_id, session_id, speaker, salience,
       salience_at, decay_rate, occurred_at, created_at, updated_at, last_seen_at, version
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND (%(user)s::text IS NULL OR user_id = %(user)s)
   AND (%(project)s::text IS NULL OR project_id = %(project)s)
   AND (%(session_id)s::text IS NULL OR session_id = %(session_id)s)
   AND (%(sectors)s::int2 IS NULL OR sectors & %(sectors)s::int2 <> 0)
   AND (%(before_id)s::uuid IS NULL OR (created_at, id) < (%(before)s::timestamptz, %(before_id)s::uuid))
 ORDER BY created_at DESC, id DESC
 LIMIT %(limit)s
OFFSET %(offset)s;

-- name: update
-- A changed memory; its version counts up, and from the largest integer to one, so that each change is another version.
-- Metadata that stay are not sent: they may have more digits than the program read.
UPDATE {memories}
   SET content = %(content)s,
       primary_sector = %(primary_sector)s,
       sectors = %(sectors)s,
       decay_rate = %(decay_rate)s,
       tags = %(tags)s::text[],
       metadata = (metadata - %(gone)s::text[]) || %(other)s,
       salience = %(salience)s,
       salience_at = %(now)s,
       fingerprint = coalesce(%(fingerprint)s, fingerprint),
       updated_at = %(now)s,
       version = mod(version, 2147483647) + 1
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s
RETURNING version;

-- name: reinforce
-- Memories that were recalled or praised: more salient, and seen just now.
UPDATE {memories} m
   SET salience = least(1, {faded}(m.salience, m.decay_rate, m.salience_at, %(now)s) + %(boost)s),
       salience_at = %(now)s,
       last_seen_at = %(now)s
  FROM (SELECT id
          FROM {memories}
         WHERE tenant_id = %(tenant)s
           AND id = ANY (%(ids)s::uuid[])
         ORDER BY id
           FOR UPDATE) AS seen
 WHERE m.tenant_id = %(tenant)s
   AND m.id = seen.id;

-- name: delete
DELETE FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND id = %(id)s;

-- name: delete_of_user
-- In turn with the tenant's batches (see insert), which lock memories in another order.
DELETE FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND id = ANY (ARRAY(SELECT id
                         FROM {memories}
                        WHERE tenant_id = %(tenant)s
                          AND user_id = %(user)s
                          AND (SELECT pg_advisory_xact_lock(hashtext('memories in turn'), hashtext(%(tenant)s)))
                              IS NOT NULL
                        LIMIT %(most)s
                          FOR UPDATE));

-- name: delete_facts_of_user
DELETE FROM {temporal_facts}
 WHERE tenant_id = %(tenant)s
   AND user_id = %(user)s;

-- name: forget_user
-- One that told something meanwhile is known still.
DELETE FROM {users} u
 WHERE u.tenant_id = %(tenant)s
   AND u.user_id = %(user)s
   AND NOT EXISTS (SELECT
                     FROM {memories} m
                    WHERE m.tenant_id = %(tenant)s
                      AND m.user_id = %(user)s);

-- name: taken
-- What the tenant has already under one of the ids, or says the same. Each key is looked up by itself (LIMIT keeps it so),
-- or the planner might read all memories of the tenant for what it takes for few.
SELECT known.id, known.fingerprint
  FROM unnest(%(ids)s::uuid[]) AS wanted (id)
 CROSS JOIN LATERAL (
        SELECT m.id, m.fingerprint
          FROM {memories} m
         WHERE m.tenant_id = %(tenant)s
           AND m.id = wanted.id
         LIMIT 1) AS known
 UNION
SELECT known.id, known.fingerprint
  FROM unnest(%(fingerprints)s::uuid[]) AS said (fingerprint)
 CROSS JOIN LATERAL (
        SELECT m.id, m.fingerprint
          FROM {memories} m
         WHERE m.tenant_id = %(tenant)s
           AND m.fingerprint = said.fingerprint
         LIMIT 1) AS known;

-- name: speakers
-- Who spoke in the latest memories of the scope, or in those of its tenant that are of no user.
SELECT DISTINCT speaker
  FROM (SELECT speaker
          FROM {memories}
         WHERE tenant_id = %(tenant)s
           AND (NOT %(of_nobody)s OR user_id IS NULL)
           AND (%(of_nobody)s OR %(user)s::text IS NULL OR user_id = %(user)s)
           AND (%(project)s::text IS NULL OR project_id = %(project)s)
         ORDER BY created_at DESC, id DESC
         LIMIT %(most)s) AS latest
 WHERE speaker IS NOT NULL;

-- name: sector_counts
-- How many memories each sector has, and how salient they are on average now.
SELECT primary_sector AS sector, count(*) AS count,
       avg({faded}(salience, decay_rate, salience_at, %(now)s)) AS avg_salience
  FROM {memories}
 WHERE tenant_id = %(tenant)s
 GROUP BY primary_sector
 ORDER BY primary_sector;

-- name: totals
SELECT count(*) AS memories, count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions,
       count(DISTINCT project_id) AS projects, min(occurred_at) AS earliest, max(occurred_at) AS latest
  FROM {memories}
 WHERE tenant_id = %(tenant)s;
