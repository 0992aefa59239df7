-- The way back, and the end of the way back.

-- name: unguard
DROP SCHEMA IF EXISTS {staging} CASCADE;
DROP TYPE IF EXISTS {lifted_textrange};

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

ALTER TABLE {users} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {memories} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {waypoints} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {temporal_facts} NO FORCE ROW LEVEL SECURITY;

-- name: newer
-- What the old tables do not have: going back would lose it. Rows are compared with what step 002 makes of the old ones,
-- since no clock tells what was written after the exchange. An active tenant without rows is no loss.
SELECT what, count
  FROM (SELECT 'memories added' AS what, count(*) AS count
          FROM (SELECT tenant_id, id
                  FROM {memories}
                EXCEPT
                SELECT {staging}.as_tenant(tenant_id, user_id), {staging}.as_id(id)
                  FROM {old_memories}) AS added
        UNION ALL
        SELECT 'memories deleted', count(*)
          FROM (SELECT {staging}.as_tenant(tenant_id, user_id), {staging}.as_id(id)
                  FROM {old_memories}
                EXCEPT
                SELECT tenant_id, id
                  FROM {memories}) AS deleted
        UNION ALL
        SELECT 'memories changed', count(*)
          FROM {memories} m
          JOIN {old_memories} o
            ON m.tenant_id = {staging}.as_tenant(o.tenant_id, o.user_id)
           AND m.id = {staging}.as_id(o.id)
         WHERE (m.content, m.version, m.updated_at)
               IS DISTINCT FROM (o.content, greatest(1, coalesce(o.version, 1)),
                                 coalesce({staging}.as_instant(o.updated_at), {staging}.as_instant(o.created_at),
                                          {staging}.as_instant(o.last_seen_at), 'epoch'))
        UNION ALL
        SELECT 'waypoints added or deleted', abs(count(*) - {rows_waypoints})
          FROM {waypoints}
        UNION ALL
        SELECT 'waypoints changed', count(*)
          FROM (SELECT src_id, dst_id, weight, updated_at
                  FROM {waypoints}
                EXCEPT
                SELECT {staging}.as_id(src_id), {staging}.as_id(dst_id), {staging}.as_share(weight, 0),
                       coalesce({staging}.as_instant(updated_at), {staging}.as_instant(created_at), 'epoch')
                  FROM {old_waypoints}) AS changed
        UNION ALL
        SELECT 'facts added or deleted', abs(count(*) - {rows_temporal_facts})
          FROM {temporal_facts}
        UNION ALL
        SELECT 'facts changed', count(*)
          FROM {temporal_facts} f
          JOIN {old_facts} o
            ON f.id = {staging}.as_id(o.id)
         WHERE (f.subject, f.predicate, f.object) IS DISTINCT FROM (o.subject, o.predicate, o.object)
            OR f.last_updated <> {staging}.as_instant(o.last_updated)
        UNION ALL
        SELECT 'users added or changed', count(*)
          FROM (SELECT tenant_id, user_id, summary, reflection_count
                  FROM {users}
                EXCEPT
                (SELECT {staging}.as_tenant(tenant_id, user_id), user_id, summary, coalesce(reflection_count, 0)
                   FROM {old_users}
                 UNION
                 SELECT {staging}.as_tenant(tenant_id, user_id), user_id, NULL, 0
                   FROM {old_memories})) AS newer_users
        UNION ALL
        SELECT 'tenants that are not active', count(*)
          FROM {tenants}
         WHERE status <> 'active') AS newer
 WHERE count > 0;

-- name: write_back
-- What recall did since is no loss: salience and the time of the last recall have their columns in the old table.
UPDATE {old_memories_table} o
   SET salience = m.salience,
       last_seen_at = floor(extract(epoch FROM m.last_seen_at) * 1000)
  FROM {memories} m
  JOIN {old_memories} was
    ON m.tenant_id = {staging}.as_tenant(was.tenant_id, was.user_id)
   AND m.id = {staging}.as_id(was.id)
 WHERE was.id = o.id::text
   AND m.last_seen_at <> coalesce({staging}.as_instant(was.last_seen_at), {staging}.as_instant(was.updated_at),
                                  {staging}.as_instant(was.created_at), 'epoch');

-- name: model
-- Which model made the vectors in use.
SELECT name, value
  FROM {lifted_meta}
 WHERE name IN ('embedding_model', 'embedding_dimension');

-- name: references
-- Constraints of tables that are left alone, such as upstream's temporal_edges, to tables that are about to go.
SELECT c.conrelid::regclass::text AS referring, quote_ident(c.conname) AS name
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
