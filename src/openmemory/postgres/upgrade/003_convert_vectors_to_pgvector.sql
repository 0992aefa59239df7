-- Step 3: each old vector, kept as the bytes of little-endian float32, becomes a pgvector value, bit for bit.
--
-- This is the way of an owner who may only use psql; `openmemory migrate` does the same several times faster and needs
-- none of this. Run it as the owner of the tables, after steps 1 and 2, on a direct connection and not in one
-- transaction, for it commits each batch:
--
--     openmemory migrate sql 3 > 003.sql && psql -f 003.sql
--
-- Stopped at any moment (kill -9 included), it goes on where it was when it is run again; run after its end, it does
-- nothing. The old table is only read. What cannot be converted goes to the quarantine with the reason.

-- name: session
-- The CALL at the end is one statement, however many hours it takes.
SET statement_timeout = 0;
-- A batch is costly enough for the planner to compile it, and that takes longer than it saves.
SET jit = off;
-- pgvector's types may be in a schema of their own.
DO $path$
BEGIN
    PERFORM set_config('search_path', concat_ws(', ', quote_ident({staging_text}), quote_ident(nspname)), false)
       FROM pg_extension
       JOIN pg_namespace ON pg_namespace.oid = extnamespace
      WHERE extname = 'vector';
END
$path$;

-- name: floats
-- A float32 is a sign, 8 bits of exponent and 23 of mantissa. Its upper 16 bits h (all but the lower 16 of the
-- mantissa) have 65536 patterns, so tables know what each is worth, and what a step of the lower 16 bits adds to it:
--     value = base[h + 1] + step[h + 1] * lower
-- float8 holds each such sum exactly, and the cast to float4 loses nothing, for the sum is a float4. The exponent 0
-- stands for denormals: without the hidden 24th bit of the mantissa, and scaled as exponent 1 is. The exponent 255
-- stands for infinity or NaN: pgvector has neither, so both read as NaN here.

CREATE OR REPLACE FUNCTION {staging}.openmemory_float_steps() RETURNS float8[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array_agg(CASE WHEN exponent = 255 THEN 'NaN'
                          WHEN h < 32768 THEN 2::float8 ^ (greatest(exponent, 1) - 150)
                          ELSE -(2::float8 ^ (greatest(exponent, 1) - 150)) END ORDER BY h)
      FROM generate_series(0, 65535) AS h
     CROSS JOIN LATERAL (SELECT (h >> 7) & 255) AS bits (exponent)
$$;

CREATE OR REPLACE FUNCTION {staging}.openmemory_float_bases() RETURNS float8[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- 65536 steps of the lower bits are one of the upper ones; a negative step times 0 is negative zero, as it must be.
    SELECT array_agg(step * 65536 * ((h & 127) + CASE WHEN (h >> 7) & 255 = 0 THEN 0 ELSE 128 END) ORDER BY h)
      FROM (SELECT step, (place - 1)::integer AS h
              FROM unnest({staging}.openmemory_float_steps()) WITH ORDINALITY AS steps (step, place)) AS steps
$$;

CREATE OR REPLACE FUNCTION {staging}.openmemory_vector_of(v bytea) RETURNS real[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    -- With a plan of its own for each value the tables would be made again for each value; a generic one keeps them.
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- A long value lies compressed in the TOAST table, and get_byte() would fetch all of it for each byte (50 times
    -- slower). The concatenation makes a plain copy, once.
    bytes bytea := v || ''::bytea;
BEGIN
    RETURN ARRAY(
        SELECT (({staging}.openmemory_float_bases())[h + 1]
                + ({staging}.openmemory_float_steps())[h + 1] * (get_byte(bytes, i + 1) * 256 + get_byte(bytes, i))
               )::real
          FROM (SELECT i, get_byte(bytes, i + 3) * 256 + get_byte(bytes, i + 2) AS h
                  FROM generate_series(0, length(bytes) - 4, 4) AS i
                OFFSET 0) AS upper_halves); -- OFFSET 0: h is computed once, not wherever it is used
END
$$;

COMMENT ON FUNCTION {staging}.openmemory_vector_of(bytea) IS
    'The float32 values whose little-endian bytes these are, exactly; NaN for NaN and for infinity.';

-- name: problems
-- NULL where pgvector cannot hold the values, or they are not as many as the new column has.
CREATE OR REPLACE FUNCTION {staging}.openmemory_embedding_of(floats real[]) RETURNS {vector_type}
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF cardinality(floats) <> {dimension} OR array_position(floats, 'NaN') IS NOT NULL THEN
        RETURN NULL;
    END IF;
    -- From 65520 on a half-precision number would round to infinity, which is an error.
    IF '{vector_type}' = 'halfvec' AND EXISTS (SELECT FROM unnest(floats) AS x WHERE abs(x) >= 65520) THEN
        RETURN NULL;
    END IF;
    RETURN floats::{vector_type};
END
$$;

CREATE OR REPLACE FUNCTION {staging}.openmemory_vector_problem(v bytea, dim integer) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    bytes bytea := v || ''::bytea; -- see openmemory_vector_of
    has_nan boolean;
    has_infinity boolean;
BEGIN
    IF v IS NULL THEN
        RETURN 'no value';
    ELSIF length(bytes) % 4 <> 0 THEN
        RETURN 'length is not a multiple of 4 bytes';
    ELSIF length(bytes) <> 4 * dim THEN
        RETURN concat(length(bytes) / 4, ' dimensions, the database has ', dim);
    END IF;
    -- Both have the exponent 255; in an infinity all bits of the mantissa are 0.
    SELECT bool_or(mantissa <> 0), bool_or(mantissa = 0)
      INTO has_nan, has_infinity
      FROM generate_series(0, length(bytes) - 4, 4) AS i
     CROSS JOIN LATERAL (SELECT ((get_byte(bytes, i + 2) & 127) * 256 + get_byte(bytes, i + 1)) * 256
                                + get_byte(bytes, i)) AS bits (mantissa)
     WHERE get_byte(bytes, i + 3) & 127 = 127 AND get_byte(bytes, i + 2) >= 128;
    IF has_nan THEN
        RETURN 'holds NaN';
    ELSIF has_infinity THEN
        RETURN 'holds infinity';
    ELSIF '{vector_type}' = 'halfvec'
          AND {staging}.openmemory_embedding_of({staging}.openmemory_vector_of(v)) IS NULL THEN
        RETURN 'holds a number too large for halfvec';
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION {staging}.openmemory_vector_problem(bytea, integer) IS
    'Why this old value cannot be a vector of so many dimensions; NULL where it can.';

-- The way back, for the quarantine of a table whose vectors are pgvector's already.
CREATE OR REPLACE FUNCTION {staging}.openmemory_bytes_of(floats real[]) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    -- float4send() gives the most significant byte first.
    SELECT coalesce(string_agg(substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1), ''
                               ORDER BY place), '')
      FROM unnest(floats) WITH ORDINALITY AS elements (x, place)
     CROSS JOIN LATERAL (SELECT float4send(x)) AS sent (b)
$$;

-- name: notes
-- A vector is in its memory's tenant and project, and its memory's user's, and has as many dimensions as numbers. One that
-- said otherwise is noted, whole but for its numbers.
CREATE OR REPLACE FUNCTION {staging}.note_vectors() RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM {row_quarantine} q WHERE q.source = 'vectors';
    IF NOT EXISTS (SELECT
                     FROM pg_attribute
                    WHERE attrelid = to_regclass({old_vectors_text})
                      AND attname IN ('tenant_id', 'project_id', 'user_id', 'dim')
                      AND NOT attisdropped) THEN
        RETURN;
    END IF;
    INSERT INTO {row_quarantine} (tenant_id, source, id, sector, reason, original)
    SELECT given.tenant_id, 'vectors', given.id, given.sector, given.note, given.original
      FROM (SELECT home.tenant_id, v.id, v.sector, v.original,
                   CASE WHEN {staging}.names_another(v.tenant_id, o.tenant_id, home.tenant_id)
                        THEN 'its tenant is not that of its memory; kept with the memory'
                        WHEN nullif(v.project_id, '') <> coalesce(o.project_id, '')
                        THEN 'its project is not that of its memory; kept with the memory'
                        WHEN nullif(v.user_id, '') <> coalesce(o.user_id, '')
                        THEN 'its user is not that of its memory; kept with the memory'
                        WHEN v.dim <> v.value_dim AND v.value_dim = {dimension}
                        THEN 'its dim is not how many numbers it has; kept by its numbers'
                   END AS note
              FROM {old_vectors} v
              JOIN {old_owners} o
                ON o.raw_id = v.raw_id
             CROSS JOIN LATERAL (SELECT {staging}.as_tenant(o.tenant_id, o.user_id)) AS home (tenant_id)) AS given
     WHERE given.note IS NOT NULL;
END
$$;

-- name: procedures
-- What each old row becomes, as a view: only the catalogue knows whether its values are bytes. The old user says who
-- the tenant is, as in step 2.
CREATE OR REPLACE PROCEDURE {staging}.openmemory_read_old_vectors()
    LANGUAGE plpgsql
AS $$
DECLARE
    is_bytes boolean := (SELECT atttypid = 'bytea'::regtype
                           FROM pg_attribute
                          WHERE attrelid = $name${old_vectors}$name$::regclass
                            AND attname = 'v');
BEGIN
    EXECUTE $sql$
        CREATE OR REPLACE VIEW {staging}.openmemory_old_values AS
        SELECT old.place, {staging}.as_id(old.id) AS id, old.sector, old.user_id, old.dim, old.original,
               {staging}.as_tenant(memory.tenant_id, who.user_id) AS tenant_id, $sql$
        || CASE WHEN is_bytes
                -- The length is known without fetching the value.
                THEN $sql$ CASE WHEN octet_length(old.v) = 4 * {dimension}
                                THEN {staging}.openmemory_embedding_of({staging}.openmemory_vector_of(old.v))
                           END AS embedding, old.v $sql$
                ELSE $sql$ {staging}.openmemory_embedding_of(old.v::vector::real[]) AS embedding,
                           {staging}.openmemory_bytes_of(old.v::vector::real[]) AS v $sql$ END
        || $sql$, memory.raw_id IS NOT NULL AS has_memory
          FROM {old_vectors} AS old
          LEFT JOIN {old_owners} AS memory ON memory.raw_id = old.raw_id
         CROSS JOIN LATERAL (SELECT CASE WHEN memory.raw_id IS NULL THEN old.user_id ELSE memory.user_id END)
               AS who (user_id) $sql$;
END
$$;

-- Converts the old rows in a range of heap blocks. The lexical terms are stems, which SQL cannot make: they stay empty
-- until `openmemory migrate` fills them; nothing else of a row waits for that.
CREATE OR REPLACE PROCEDURE {staging}.openmemory_convert_blocks(first_block bigint, end_block bigint)
    LANGUAGE plpgsql
AS $$
DECLARE
    first_place tid := format('(%s,0)', first_block);
    end_place tid := format('(%s,0)', end_block);
BEGIN
    -- A plan for any range would expect a large one, and might read all memories for each batch.
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    WITH placed AS (
        INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, occurred_at, seq, sectors,
                               traits, terms, embedding)
        SELECT memory.tenant_id, memory.id, old.sector, memory.user_id, memory.project_id, memory.session_id,
               memory.occurred_at, memory.seq, memory.sectors, 0, '{}/536870912', old.embedding
          FROM {staging}.openmemory_old_values AS old
          JOIN {memories} AS memory ON memory.tenant_id = old.tenant_id AND memory.id = old.id AND old.has_memory
         WHERE old.place >= first_place
           AND old.place < end_place
        RETURNING id, sector, embedding IS NULL AS unreadable
    )
    -- A memory without a vector is still found by its words; its bytes stay here, with the reason.
    INSERT INTO {vector_quarantine} (tenant_id, id, sector, user_id, dim, v, original, reason)
    SELECT old.tenant_id, old.id, old.sector, old.user_id, old.dim, old.v,
           CASE WHEN placed.id IS NULL THEN old.original END,
           CASE WHEN placed.id IS NULL THEN 'no memory has this id' ELSE problem END
      FROM {staging}.openmemory_old_values AS old
      LEFT JOIN placed ON placed.id = old.id AND placed.sector = old.sector
     CROSS JOIN LATERAL (SELECT {staging}.openmemory_vector_problem(old.v, {dimension})) AS problems (problem)
     WHERE old.place >= first_place
       AND old.place < end_place
       AND (placed.id IS NULL OR placed.unreadable);
END
$$;

-- A memory that upstream kept without any vector: found by its words, and listed with those to repair.
CREATE OR REPLACE PROCEDURE {staging}.openmemory_add_memories_without_vector()
    LANGUAGE plpgsql
AS $$
DECLARE
    placed_rows bigint;
BEGIN
    INSERT INTO {upgrade} (name, value) VALUES ('without_vector', '0') ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM {staging}.note_vectors();
    INSERT INTO {upgrade} (name, value)
    VALUES ('terms', 'pending')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    WITH without AS MATERIALIZED (
        SELECT memory.tenant_id, memory.id, memory.primary_sector, memory.user_id, memory.project_id,
               memory.session_id, memory.occurred_at, memory.seq, memory.sectors, old.user_id AS old_user_id
          FROM {old_memories} AS old
          JOIN {memories} AS memory ON memory.tenant_id = {staging}.as_tenant(old.tenant_id, old.user_id)
                                   AND memory.id = {staging}.as_id(old.id)
         WHERE NOT EXISTS (SELECT FROM {old_vectors} AS vector WHERE vector.raw_id = old.raw_id)
    ), placed AS (
        INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, occurred_at, seq, sectors,
                               traits, terms)
        SELECT tenant_id, id, primary_sector, user_id, project_id, session_id, occurred_at, seq, sectors, 0,
               '{}/536870912'
          FROM without
    )
    -- The user as the old row has it.
    INSERT INTO {vector_quarantine} (tenant_id, id, sector, user_id, reason)
    SELECT tenant_id, id, primary_sector, old_user_id, 'no value'
      FROM without;
    GET DIAGNOSTICS placed_rows = ROW_COUNT;
    UPDATE {upgrade} SET value = placed_rows WHERE name = 'without_vector';
END
$$;

CREATE OR REPLACE PROCEDURE {staging}.openmemory_convert_vectors(batch_rows integer DEFAULT 10000)
    LANGUAGE plpgsql
AS $$
DECLARE
    -- The old table is closed to writers since step 1, so it has as many rows at the end as now.
    source regclass := to_regclass({old_vectors_text});
    blocks bigint;
    total bigint;
    done bigint;
    done_before bigint;
    block bigint;
    end_block bigint;
    started timestamptz := clock_timestamp();
    seconds double precision;
    aside record;
BEGIN
    PERFORM {staging}.hold_lock();
    SELECT count(*) INTO total FROM {old_vectors};
    block := {staging}.resume_at('vectors', source);
    SELECT count(*) INTO done FROM {old_vectors} WHERE place < format('(%s,0)', block)::tid;
    done_before := done;
    IF done < total THEN
        CALL {staging}.openmemory_read_old_vectors();
        INSERT INTO {upgrade} (name, value)
        VALUES ('terms', 'pending')
            ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    END IF;
    COMMIT;
    LOOP
        PERFORM {staging}.hold_lock();
        block := {staging}.resume_at('vectors', source);
        blocks := coalesce(pg_relation_size(source), 0) / current_setting('block_size')::bigint;
        EXIT WHEN block >= blocks;
        end_block := least(blocks, block + greatest(1, blocks * batch_rows / greatest(1, total)));
        CALL {staging}.openmemory_convert_blocks(block, end_block);
        UPDATE {upgrade} SET value = end_block WHERE name = 'vectors_block';
        SELECT done + count(*) INTO done FROM {old_vectors}
         WHERE place >= format('(%s,0)', block)::tid AND place < format('(%s,0)', end_block)::tid;
        COMMIT; -- rows and checkpoint, together or not at all
        seconds := greatest(0.001, extract(epoch FROM clock_timestamp() - started));
        RAISE NOTICE '% of % vectors, % a second, % min left', done, total, round((done - done_before) / seconds),
            ceil((total - done) * seconds / greatest(1, done - done_before) / 60);
    END LOOP;
    PERFORM {staging}.hold_lock();
    CALL {staging}.openmemory_add_memories_without_vector();
    COMMIT;
    RAISE NOTICE 'all % vectors are read', total;
    FOR aside IN SELECT reason, count(*) AS rows FROM {vector_quarantine} GROUP BY reason ORDER BY count(*) DESC LOOP
        RAISE NOTICE 'set aside: % (%)', aside.rows, aside.reason;
    END LOOP;
    FOR aside IN
        SELECT q.reason, count(*) AS rows, min(q.id) AS example
          FROM {row_quarantine} q
         WHERE q.source = 'vectors'
         GROUP BY q.reason
         ORDER BY q.reason
    LOOP
        RAISE NOTICE 'set aside: % (vectors: %), such as %', aside.rows, aside.reason, aside.example;
    END LOOP;
END
$$;

-- name: convert
CALL {staging}.openmemory_convert_vectors({batch_size});
