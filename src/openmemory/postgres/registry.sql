-- name: tenant_status
SELECT status
  FROM {tenants}
 WHERE tenant_id = %(name)s;

-- name: create_tenant
INSERT INTO {tenants} (tenant_id)
VALUES (%(name)s)
    ON CONFLICT DO NOTHING;

-- name: tenants
SELECT tenant_id AS name
  FROM {tenants}
 ORDER BY tenant_id;

-- name: tenants_after
-- Some tenants in their order, of any status: upkeep goes from one to the next, and opens a transaction of each.
SELECT tenant_id AS name
  FROM {tenants}
 WHERE tenant_id > %(after)s
 ORDER BY tenant_id
 LIMIT %(most)s;

-- name: meta
SELECT name, value
  FROM {meta};

-- name: record_meta
INSERT INTO {meta} (name, value)
VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO NOTHING;

-- name: ping
SELECT 1 AS one;
