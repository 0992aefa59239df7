-- The way back, and the end of the way back.

-- name: beside
-- What else is in the schema that is filled than the new tables and what the steps read the old ones by.
SELECT concat(CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END, ' ', c.relname) AS name
  FROM pg_class c
 WHERE c.relnamespace = to_regnamespace(quote_ident({staging_text}))
   AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
   AND c.relname <> ALL ({ours}::text[])
   AND c.relname NOT IN ('old_memories', 'old_vectors', 'old_waypoints', 'old_users', 'old_facts', 'old_owners',
                         'old_sectors', 'openmemory_old_values')
 ORDER BY c.relname;

-- name: unguard
DROP SCHEMA IF EXISTS {staging} CASCADE;
DROP TYPE IF EXISTS {lifted_textrange};

-- name: revoke
-- The tenants' role has nothing left to do in the schema.
DO $body$
BEGIN
    IF to_regrole({app_role_text}) IS NOT NULL THEN
        REVOKE USAGE ON SCHEMA {final} FROM {app_role};
    END IF;
END
$body$;

-- name: forget
DROP TABLE IF EXISTS {vector_quarantine}, {row_quarantine}, {upgrade};

-- name: exchange_back
-- As before the exchange of 005: the new tables in the schema they were filled in, the old ones in their place.
CREATE SCHEMA {staging};

ALTER TABLE {lifted_memories} SET SCHEMA {staging};
ALTER TABLE {lifted_vectors} SET SCHEMA {staging};
ALTER TABLE {lifted_waypoints} SET SCHEMA {staging};
ALTER TABLE {lifted_users} SET SCHEMA {staging};
ALTER TABLE {lifted_temporal_facts} SET SCHEMA {staging};
ALTER TABLE {lifted_idempotency} SET SCHEMA {staging};
ALTER TABLE {lifted_tenants} SET SCHEMA {staging};
ALTER TABLE {lifted_meta} SET SCHEMA {staging};
ALTER TABLE {lifted_migrations} SET SCHEMA {staging};
ALTER FUNCTION {lifted_faded} SET SCHEMA {staging};

ALTER TABLE IF EXISTS {kept_memories} SET SCHEMA {final};
ALTER TABLE IF EXISTS {kept_vectors} SET SCHEMA {final};
ALTER TABLE IF EXISTS {kept_waypoints} SET SCHEMA {final};
ALTER TABLE IF EXISTS {kept_users} SET SCHEMA {final};
ALTER TABLE IF EXISTS {kept_facts} SET SCHEMA {final};
DROP SCHEMA {kept};

-- Forced row-level security hides all rows from an owner, so that nothing could be compared before this. It takes an
-- exclusive lock, and so would a policy for the owner; given up in a transaction before, it would stay given up where this
-- one dies. So readers wait from here to the end.
ALTER TABLE {users} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {memories} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {waypoints} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {temporal_facts} NO FORCE ROW LEVEL SECURITY;

-- name: newer
-- What the old tables do not have, so that going back would lose it. Each new row is compared with the old row it was made
-- of, and the new rows with how many there were at the exchange; a date proves nothing, for an old one may lie ahead.
SELECT what, count, one_of_them
  FROM (SELECT unnest(ARRAY['memories added', 'memories deleted', 'memories changed']) AS what,
               unnest(ARRAY[
                   count(*) FILTER (WHERE is_added),
                   {rows_memories} - count(*) FILTER (WHERE NOT is_added),
                   count(*) FILTER (WHERE is_changed)]) AS count,
               unnest(ARRAY[
                   min(id::text) FILTER (WHERE is_added),
                   NULL,
                   min(id::text) FILTER (WHERE is_changed)]) AS one_of_them
          FROM (SELECT m.id, o.id IS NULL AS is_added,
                       o.id IS NOT NULL
                       AND ((m.content, m.version, m.updated_at, m.created_at, m.occurred_at, m.user_id, m.project_id,
                             m.primary_sector, m.sectors, m.decay_rate)
                            IS DISTINCT FROM
                            (o.content, o.version, o.updated_at, o.created_at, o.created_at, o.user_id, o.project_id,
                             o.sector, {staging}.sector_bit(o.sector) | coalesce(v.sectors, 0), o.decay_rate)
                            OR m.session_id IS NOT NULL
                            OR m.speaker IS NOT NULL
                            OR (m.salience <> o.salience AND m.last_seen_at = o.last_seen_at)
                            OR m.tags <> {staging}.as_tags({staging}.as_json(o.tags))
                            OR m.metadata - 'openmemory_old'
                               <> CASE WHEN jsonb_typeof({staging}.as_json(o.meta)) = 'object'
                                       THEN {staging}.as_json(o.meta) - 'openmemory_old'
                                       ELSE '{}' END) AS is_changed
                  FROM {memories} m
                  LEFT JOIN (SELECT {staging}.as_tenant(tenant_id, user_id) AS tenant_id, {staging}.as_id(id) AS id,
                                    raw_id, content, tags, meta, greatest(1, coalesce(version, 1)) AS version,
                                    {staging}.as_name(user_id) AS user_id, {staging}.as_name(project_id) AS project_id,
                                    {staging}.as_sector(primary_sector) AS sector,
                                    {staging}.as_share(salience, 0.5) AS salience,
                                    {staging}.as_rate(decay_lambda, primary_sector) AS decay_rate,
                                    coalesce({staging}.as_instant(created_at), {staging}.as_instant(updated_at),
                                             {staging}.as_instant(last_seen_at), 'epoch') AS created_at,
                                    coalesce({staging}.as_instant(updated_at), {staging}.as_instant(created_at),
                                             {staging}.as_instant(last_seen_at), 'epoch') AS updated_at,
                                    coalesce({staging}.as_instant(last_seen_at), {staging}.as_instant(updated_at),
                                             {staging}.as_instant(created_at), 'epoch') AS last_seen_at
                               FROM {old_memories}) AS o
                    ON o.tenant_id = m.tenant_id
                   AND o.id = m.id
                  LEFT JOIN (SELECT raw_id, bit_or({staging}.sector_bit(sector)) AS sectors
                               FROM {old_vectors}
                              GROUP BY raw_id) AS v
                    ON v.raw_id = o.raw_id) AS compared
        UNION ALL
        -- A user that only memories name got a row as well.
        SELECT unnest(ARRAY['users added', 'users deleted', 'users changed']),
               unnest(ARRAY[
                   count(*) FILTER (WHERE o.user_id IS NULL),
                   {rows_users} - count(o.user_id),
                   count(*) FILTER (
                       WHERE o.user_id IS NOT NULL
                         AND (n.summary, n.reflection_count, n.created_at, n.updated_at)
                             IS DISTINCT FROM (o.summary, o.reflection_count, o.created_at, o.updated_at))]),
               NULL
          FROM {users} n
          LEFT JOIN (SELECT DISTINCT ON (tenant_id, user_id)
                            tenant_id, user_id, summary, reflection_count, created_at, updated_at
                       FROM (SELECT {staging}.as_tenant(tenant_id, user_id) AS tenant_id,
                                    {staging}.as_name(user_id) AS user_id, summary,
                                    coalesce(reflection_count, 0) AS reflection_count,
                                    coalesce({staging}.as_instant(created_at), {staging}.as_instant(updated_at),
                                             'epoch') AS created_at,
                                    coalesce({staging}.as_instant(updated_at), {staging}.as_instant(created_at),
                                             'epoch') AS updated_at,
                                    place
                               FROM {old_users}
                              UNION ALL
                             SELECT tenant_id, user_id, NULL, 0, min(created_at), max(created_at), NULL
                               FROM (SELECT {staging}.as_tenant(tenant_id, user_id) AS tenant_id,
                                            {staging}.as_name(user_id) AS user_id,
                                            coalesce({staging}.as_instant(created_at), {staging}.as_instant(updated_at),
                                                     {staging}.as_instant(last_seen_at), 'epoch') AS created_at
                                       FROM {old_memories}) AS m
                              GROUP BY tenant_id, user_id) AS named
                      ORDER BY tenant_id, user_id, place NULLS LAST) AS o
            ON o.tenant_id = n.tenant_id
           AND o.user_id = n.user_id
        UNION ALL
        -- One that only asked, and has nothing here, is no loss.
        SELECT unnest(ARRAY['tenants added', 'tenants suspended or deleted']),
               unnest(ARRAY[
                   count(*) FILTER (
                       WHERE o.tenant_id IS NULL
                         AND (EXISTS (SELECT FROM {memories} m WHERE m.tenant_id = t.tenant_id)
                              OR EXISTS (SELECT FROM {users} u WHERE u.tenant_id = t.tenant_id)
                              OR EXISTS (SELECT FROM {temporal_facts} f WHERE f.tenant_id = t.tenant_id))),
                   count(*) FILTER (WHERE t.status <> 'active')]),
               NULL
          FROM {tenants} t
          LEFT JOIN (SELECT {staging}.as_tenant(tenant_id, user_id) AS tenant_id
                       FROM {old_memories}
                      UNION
                     SELECT {staging}.as_tenant(tenant_id, user_id)
                       FROM {old_users}
                      UNION
                     SELECT {staging}.as_tenant(tenant_id, user_id)
                       FROM {old_facts}
                      UNION
                     SELECT {tenant}) AS o
            ON o.tenant_id = t.tenant_id
        UNION ALL
        -- Of several old links between the same memories one came across.
        SELECT unnest(ARRAY['waypoints added', 'waypoints deleted', 'waypoints changed']),
               unnest(ARRAY[
                   count(*) FILTER (WHERE o.src_id IS NULL),
                   {rows_waypoints} - count(o.src_id),
                   count(*) FILTER (WHERE NOT (n.weight = ANY (o.weights)
                                               AND n.created_at = ANY (o.written)
                                               AND n.updated_at = ANY (o.times)
                                               AND coalesce(n.user_id, '') = ANY (o.users)))]),
               NULL
          FROM {waypoints} n
          LEFT JOIN (SELECT {staging}.as_tenant(s.tenant_id, s.user_id) AS tenant_id, {staging}.as_id(w.src_id) AS src_id,
                            {staging}.as_id(w.dst_id) AS dst_id,
                            array_agg({staging}.as_share(w.weight, 0)) AS weights,
                            array_agg(coalesce({staging}.as_instant(w.created_at), {staging}.as_instant(w.updated_at),
                                               'epoch')) AS written,
                            array_agg(coalesce({staging}.as_instant(w.updated_at), {staging}.as_instant(w.created_at),
                                               'epoch')) AS times,
                            array_agg(coalesce({staging}.as_name(w.user_id), '')) AS users
                       FROM {old_waypoints} w
                       JOIN {old_memories} s
                         ON s.raw_id = w.raw_src_id
                      GROUP BY 1, 2, 3) AS o
            ON o.tenant_id = n.tenant_id
           AND o.src_id = n.src_id
           AND o.dst_id = n.dst_id
        UNION ALL
        SELECT unnest(ARRAY['facts added', 'facts deleted', 'facts changed']),
               unnest(ARRAY[
                   count(*) FILTER (WHERE o.id IS NULL),
                   {rows_temporal_facts} - count(o.id),
                   count(*) FILTER (
                       WHERE o.id IS NOT NULL
                         AND ((n.user_id, n.project_id, n.subject, n.predicate, n.object, n.valid, n.confidence,
                               n.created_at, n.last_updated, n.metadata - 'openmemory_old')
                              IS DISTINCT FROM
                              (o.user_id, o.project_id, o.subject, o.predicate, o.object, o.valid, o.confidence,
                               o.created_at, o.last_updated, o.metadata - 'openmemory_old')))]),
               NULL
          FROM {temporal_facts} n
          LEFT JOIN {staging}.facts_as_lifted() o
            ON o.tenant_id = n.tenant_id
           AND o.id = n.id) AS newer
 WHERE count > 0;

-- name: recalled
-- What recall did since is no loss: salience and the time of the last recall have their columns in the old table. A row
-- that was not recalled has the time it came with, and stays as it was, a salience above 1 and all.
SELECT count(*) AS count, coalesce(min(came.id), '') AS example
  FROM {old_memories} came
  JOIN {memories} m
    ON m.tenant_id = {staging}.as_tenant(came.tenant_id, came.user_id)
   AND m.id = {staging}.as_id(came.id)
 WHERE m.last_seen_at <> {came_seen};

-- name: firing
-- What of the owner's acts when the old memories are written to; the triggers of foreign keys are PostgreSQL's own.
SELECT format('TRIGGER %I', tgname) AS hook, tgenabled::text AS state
  FROM pg_trigger
 WHERE tgrelid = to_regclass({old_memories_text})
   AND NOT tgisinternal
   AND tgenabled <> 'D'
 UNION ALL
SELECT format('RULE %I', rulename), ev_enabled::text
  FROM pg_rewrite
 WHERE ev_class = to_regclass({old_memories_text})
   AND ev_enabled <> 'D';

-- name: fire
ALTER TABLE {old_memories_table} {how} {hook};

-- name: settle
-- A table with checks that wait for the end of the transaction takes no ALTER.
SET CONSTRAINTS ALL IMMEDIATE;

-- name: write_back
UPDATE {old_memories_table} o
   SET {column} = {value}
  FROM {old_memories} came
  JOIN {memories} m
    ON m.tenant_id = {staging}.as_tenant(came.tenant_id, came.user_id)
   AND m.id = {staging}.as_id(came.id)
 WHERE came.raw_id = o.id
   AND m.last_seen_at <> {came_seen};

-- name: rounded
-- Rows whose column did not take what was written there.
SELECT count(*) AS count
  FROM {old_memories} came
  JOIN {memories} m
    ON m.tenant_id = {staging}.as_tenant(came.tenant_id, came.user_id)
   AND m.id = {staging}.as_id(came.id)
 WHERE m.last_seen_at <> {came_seen}
   AND {is_other};

-- name: came_seen
-- When a memory was seen last as it came.
coalesce({staging}.as_instant(came.last_seen_at), {staging}.as_instant(came.updated_at),
         {staging}.as_instant(came.created_at), 'epoch')

-- name: references
-- Constraints of tables that are left alone, such as upstream's temporal_edges, to tables that are about to go.
SELECT c.conrelid::regclass::text AS of_table, quote_ident(c.conname) AS name
  FROM pg_constraint c
  JOIN pg_class referred
    ON referred.oid = c.confrelid
  JOIN pg_class referring
    ON referring.oid = c.conrelid
  JOIN pg_namespace n
    ON n.oid = referred.relnamespace
 WHERE c.contype = 'f'
   AND n.nspname = {kept_text}
   AND referring.relnamespace <> referred.relnamespace;

-- name: drop_kept
DROP TABLE IF EXISTS {kept_vectors}, {kept_waypoints}, {kept_memories}, {kept_users}, {kept_facts};
DROP SCHEMA {kept};
