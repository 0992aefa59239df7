-- name: tenant_status
SELECT status
  FROM {tenants}
 WHERE tenant_id = %(name)s;

-- name: create_tenant
INSERT INTO {tenants} (tenant_id)
VALUES (%(name)s)
    ON CONFLICT DO NOTHING;

-- name: tenants
SELECT tenant_id AS name, status, created_at
  FROM {tenants}
 ORDER BY tenant_id;

-- name: meta
SELECT name, value
  FROM {meta};

-- name: record_meta
INSERT INTO {meta} (name, value)
VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO NOTHING;

-- name: ping
SELECT 1 AS one;
