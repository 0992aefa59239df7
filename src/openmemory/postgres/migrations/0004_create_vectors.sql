-- What search reads: one row a memory under its primary sector (a database from before pgvector may have more), never
-- updated for counters or metadata, so that its pages stay all-visible and the search stays index-only.

CREATE TABLE {vectors} (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    sector text NOT NULL,
    user_id text,
    project_id text,
    session_id text,
    -- A hash of user and session, 0 without a session: rows of one conversation have the same.
    session_key bigint NOT NULL DEFAULT 0,
    occurred_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    sectors smallint NOT NULL,
    -- A hash of the speaker's name, 0 for none.
    speaker_key integer NOT NULL DEFAULT 0,
    -- What the text is like, side by side so that a scan reads one number: the count of its terms in the low 13 bits,
    -- then one bit if it ends with a question mark and one if it has a time expression.
    traits integer NOT NULL,
    -- How often each term occurs: index = 29-bit hash of the term + 1, value = min(count, 7).
    terms sparsevec(536870912) NOT NULL,
    embedding {vector_type}({dimension}),
    dim integer GENERATED ALWAYS AS ({dimension}) STORED,
    code bit({dimension}) GENERATED ALWAYS AS (binary_quantize(embedding)::bit({dimension})) STORED,
    -- Whose row it is and in which conversation, as a scan sends it: 16 bytes of id, 8 of session_key.
    locator bytea NOT NULL GENERATED ALWAYS AS (uuid_send(id) || int8send(session_key)) STORED,
    CONSTRAINT {vectors_pkey} PRIMARY KEY (tenant_id, id, sector),
    CONSTRAINT {vectors_memory_fkey} FOREIGN KEY (tenant_id, id) REFERENCES {memories} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT tenant_is_named CHECK (tenant_id <> ''),
    CONSTRAINT sectors_are_known CHECK (sectors BETWEEN 1 AND 31),
    CONSTRAINT traits_fit_15_bits CHECK (traits BETWEEN 0 AND 32767)
);

-- Plain storage before the first row: a compressed code or term list would be unpacked for every row of a scan.
ALTER TABLE {vectors}
    ALTER COLUMN code SET STORAGE PLAIN,
    ALTER COLUMN terms SET STORAGE PLAIN;

-- The tenant index: a query reads its own tenant's rows, or its own user's, in the order of their conversations,
-- from the index alone. That works while the visibility map is fresh, hence the tight thresholds.
CREATE INDEX {vectors_search} ON {vectors} (tenant_id, user_id, session_id, occurred_at, seq)
    INCLUDE (locator, id, sectors, project_id, speaker_key, traits, code, terms);

ALTER TABLE {vectors} SET (
    autovacuum_vacuum_scale_factor = 0.002,
    autovacuum_vacuum_insert_scale_factor = 0.002,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_threshold = 1000
);
