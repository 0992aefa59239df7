-- A memory and the users it belongs to. Everything a tenant owns has tenant_id first in its key and in each index.

CREATE TABLE {users} (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    summary text,
    reflection_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT user_is_named CHECK (user_id <> '')
);

CREATE TABLE {memories} (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    user_id text,
    project_id text,
    session_id text,
    speaker text,
    content text NOT NULL,
    primary_sector text NOT NULL,
    -- One bit a sector: episodic 1, semantic 2, procedural 4, emotional 8, reflective 16.
    sectors smallint NOT NULL,
    tags text[] NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    -- Salience is a function of time: salience * exp(-decay_rate * days since salience_at); decay_rate is per day.
    salience double precision NOT NULL,
    salience_at timestamptz NOT NULL,
    decay_rate double precision NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- The order of arrival; with occurred_at it is the memory's place in its session.
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    last_seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    -- How often the same was said again; see said_once.
    repetitions integer NOT NULL DEFAULT 0,
    -- A digest of the normalised text, user, project, session and speaker; null where duplicates must stay.
    fingerprint uuid,
    CONSTRAINT {memories_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {memories_said_once} UNIQUE (tenant_id, fingerprint),
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT sector_is_known CHECK (primary_sector IN ('episodic', 'semantic', 'procedural', 'emotional', 'reflective')),
    CONSTRAINT sectors_are_known CHECK (sectors BETWEEN 1 AND 31),
    CONSTRAINT metadata_is_an_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT salience_is_a_share CHECK (salience BETWEEN 0 AND 1),
    CONSTRAINT decay_rate_is_not_negative CHECK (decay_rate >= 0),
    CONSTRAINT version_counts_from_one CHECK (version >= 1)
) WITH (fillfactor = 90); -- room for HOT updates: recall changes salience and last_seen_at, which no index holds

CREATE INDEX {memories_listing} ON {memories} (tenant_id, created_at, id);
CREATE INDEX {memories_user_listing} ON {memories} (tenant_id, user_id, created_at, id);

-- What is left of a salience after a time; the same formula as core/salience.py. The exponent is bounded because
-- exp() of less than -745 is an error in PostgreSQL.
CREATE FUNCTION {faded}(salience float8, decay_rate float8, since timestamptz, now timestamptz) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN salience * exp(-least(700, decay_rate * greatest(0, extract(epoch FROM now - since)::float8 / 86400)));
