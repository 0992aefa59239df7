-- What SQL alone cannot make of texts, after steps that psql ran: the terms of the search rows, and the fingerprints by
-- which a memory that is said again is recognised.

-- name: next
-- The memories behind one of them, as many as have so many bytes of text between them. How long a text is stands beside
-- it, so that none is read for that.
SELECT tenant_id AS tenant, id, content, user_id AS user, project_id AS project
  FROM (SELECT tenant_id, id, content, user_id, project_id,
               sum(octet_length(content)) OVER (ORDER BY tenant_id, id ROWS UNBOUNDED PRECEDING)
                   - octet_length(content) AS bytes_before
          FROM (SELECT tenant_id, id, content, user_id, project_id
                  FROM {memories}
                 WHERE (tenant_id, id) > (%(tenant)s, %(id)s::uuid)
                 ORDER BY tenant_id, id
                 LIMIT %(most)s) AS following) AS measured
 WHERE bytes_before < %(most_bytes)s
 ORDER BY tenant_id, id;

-- name: terms
UPDATE {vectors} v
   SET terms = g.terms::sparsevec,
       traits = g.traits
  FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::int4[]) AS g (tenant_id, id, terms, traits)
 WHERE v.tenant_id = g.tenant_id
   AND v.id = g.id;

-- name: fingerprints
UPDATE {memories} m
   SET fingerprint = g.fingerprint
  FROM unnest(%s::text[], %s::uuid[], %s::uuid[]) AS g (tenant_id, id, fingerprint)
 WHERE m.tenant_id = g.tenant_id
   AND m.id = g.id
   AND m.fingerprint IS NULL;

-- name: apart
-- Step 4 may have made the key already, or only its index: either keeps what is said once apart, and is made again when
-- all fingerprints are there and those of what is said twice are gone.
ALTER TABLE {memories} DROP CONSTRAINT IF EXISTS {memories_said_once};
DROP INDEX IF EXISTS {staging}.{memories_said_once};

-- name: once
DO $body$
BEGIN
    IF EXISTS (SELECT
                 FROM pg_constraint
                WHERE conname = 'waypoint_target'
                  AND connamespace = to_regnamespace(quote_ident({staging_text}))) THEN
        ALTER TABLE {memories} ADD CONSTRAINT {memories_said_once} UNIQUE USING INDEX {memories_said_once};
    END IF;
END
$body$;
