-- name: app_role
-- The role of every tenant transaction: tenant tables and nothing else.
GRANT USAGE ON SCHEMA {schema} TO {app_role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {users}, {memories}, {vectors}, {waypoints}, {temporal_facts}, {idempotency}
   TO {app_role};
GRANT EXECUTE ON FUNCTION {faded} TO {app_role};
REVOKE ALL ON {meta}, {tenants}, {migrations} FROM {app_role};

-- name: revoke_from_role
-- Hosted platforms grant on the public schema by default; no role but ours may touch these tables.
REVOKE ALL ON {meta}, {tenants}, {migrations}, {users}, {memories}, {vectors}, {waypoints}, {temporal_facts}, {idempotency}
  FROM {role};
REVOKE ALL ON FUNCTION {faded} FROM {role};

-- name: login_role
-- The non-owner that the server logs in as: the registry, and the right to become the tenants' role.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {meta}, {migrations} TO {role};
GRANT SELECT, INSERT ON {tenants} TO {role};
-- Only its owner suspends a tenant, or lets it in again.
REVOKE UPDATE ON {tenants} FROM {role};

-- name: membership
-- The login may become the tenants' role and has none of its rights before; PostgreSQL 15 knows no such difference.
GRANT {app_role} TO {role} WITH INHERIT FALSE, SET TRUE;
