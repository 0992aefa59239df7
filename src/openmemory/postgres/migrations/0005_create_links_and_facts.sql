-- Waypoints are associative links between two memories of one tenant; temporal facts are true for a span of time.

CREATE TABLE {waypoints} (
    tenant_id text NOT NULL,
    src_id uuid NOT NULL,
    dst_id uuid NOT NULL,
    user_id text,
    weight double precision NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, src_id, dst_id),
    CONSTRAINT waypoint_source FOREIGN KEY (tenant_id, src_id) REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT waypoint_target FOREIGN KEY (tenant_id, dst_id) REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT weight_is_a_share CHECK (weight BETWEEN 0 AND 1)
);

CREATE INDEX openmemory_waypoints_target ON {waypoints} (tenant_id, dst_id);

-- Equality of text inside a GiST exclusion constraint, without the contrib module btree_gist, which the embedded
-- server lacks: a range of one point overlaps another exactly when the points are equal.
CREATE TYPE {textrange} AS RANGE (SUBTYPE = text);

CREATE TABLE {temporal_facts} (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    user_id text,
    project_id text,
    subject text NOT NULL,
    predicate text NOT NULL,
    object text NOT NULL,
    valid tstzrange NOT NULL,
    confidence double precision NOT NULL DEFAULT 1,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_updated timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT fact_is_true_some_time CHECK (NOT isempty(valid)),
    CONSTRAINT confidence_is_a_share CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT one_truth_at_a_time EXCLUDE USING gist (
        {textrange}(tenant_id, tenant_id, '[]') WITH &&,
        {textrange}(coalesce(user_id, ''), coalesce(user_id, ''), '[]') WITH &&,
        {textrange}(coalesce(project_id, ''), coalesce(project_id, ''), '[]') WITH &&,
        {textrange}(subject, subject, '[]') WITH &&,
        {textrange}(predicate, predicate, '[]') WITH &&,
        valid WITH &&
    )
);

-- The first answer to a write that came with an Idempotency-Key: ids and status, never content.
CREATE TABLE {idempotency} (
    tenant_id text NOT NULL,
    credential text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    status smallint NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, credential, key),
    CONSTRAINT tenant_is_named CHECK (tenant_id <> '')
);

CREATE INDEX openmemory_idempotency_age ON {idempotency} (tenant_id, created_at);
