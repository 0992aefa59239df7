-- What belongs to the operator and to no tenant: the login role reads and writes it, the tenants' role may not.

CREATE TABLE {meta} (
    name text PRIMARY KEY,
    value text NOT NULL
);

COMMENT ON TABLE {meta} IS 'Facts about this database that the server checks at start: the embedding model and its dimension.';

CREATE TABLE {tenants} (
    tenant_id text PRIMARY KEY,
    status text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT tenant_name_fits CHECK (octet_length(tenant_id) <= 128),
    CONSTRAINT tenant_status_is_known CHECK (status IN ('active', 'suspended', 'deleted'))
);
