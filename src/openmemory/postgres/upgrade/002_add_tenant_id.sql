-- 002: every row gets its tenant, and what upstream kept as text and milliseconds gets its type. Memories, users,
-- waypoints and facts are read from views that give the known shapes of old tables the same columns, and are written
-- into the new tables, so many heap blocks a transaction.
--
-- Where the new tables are tighter, the old value goes into the row's metadata under "openmemory_old".

-- name: conversions
-- Each is what one old column becomes. They are dropped with the schema they are in.
BEGIN;

-- The id: a UUID as it is, with hyphens or without; any other text by its digest, the same in every table.
CREATE OR REPLACE FUNCTION {staging}.as_id(old text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN old ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$'
                THEN old::uuid
                ELSE md5(old)::uuid
           END;

-- Whether a text has commas or what cannot be seen, in a request. In another encoding than UTF8 \u is no code point but a
-- byte, which may be a letter there; so the text is looked at as UTF-8 has it, each byte beyond ASCII written \ooo. (U+0080
-- to U+00A0, U+00AD, U+2000 to U+200F, U+3000: no other encoding has more of them.)
CREATE OR REPLACE FUNCTION {staging}.has_unseen(name text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN name ~ '[,\u0001-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2'
                     '\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb'
                     '\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
                     '\U000e0001\U000e0020-\U000e007f]'
         ELSE encode(convert_to(name, 'UTF8'), 'escape')
              ~ '[,\u0001-\u001f\u007f]|\\302\\(2[0-3][0-7]|240|255)|\\342\\200\\2[01][0-7]|\\343\\200\\200'
    END;

-- Whether a text is longer than 128 bytes or has control characters, in a request.
CREATE OR REPLACE FUNCTION {staging}.is_odd(name text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN octet_length(name) > 128 OR name ~ '[\u0001-\u001f\u007f-\u009f]'
         ELSE octet_length(convert_to(name, 'UTF8')) > 128
              OR encode(convert_to(name, 'UTF8'), 'escape') ~ '[\u0001-\u001f\u007f]|\\302\\2[0-3][0-7]'
    END;

-- A text without its control characters.
CREATE OR REPLACE FUNCTION {staging}.as_plain(name text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN regexp_replace(name, '[\u0001-\u001f\u007f-\u009f]', '', 'g')
         ELSE convert_from(decode(regexp_replace(encode(convert_to(name, 'UTF8'), 'escape'),
                                                 '[\u0001-\u001f\u007f]|\\302\\2[0-3][0-7]', '', 'g'), 'escape'), 'UTF8')
    END;

-- Whether a text may be a tenant's name here, as a request would name it: no longer than 128 bytes, without control
-- characters, commas, blanks at its ends, and what cannot be seen.
CREATE OR REPLACE FUNCTION {staging}.fits_as_tenant(name text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(name <> '' AND name = btrim(name)
                    AND NOT {staging}.is_odd(name) AND NOT {staging}.has_unseen(name), false);

-- The name of a user or project: null for an empty one, and one that no index could hold or no request could name by its
-- beginning and its digest, the same in every table.
CREATE OR REPLACE FUNCTION {staging}.as_name(old text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN {staging}.is_odd(old)
                THEN left({staging}.as_plain(old), 23) || '~' || md5(old)
                ELSE nullif(old, '')
           END;

-- How many keys a JSON text has: each has a colon, and so may strings, which are taken out.
CREATE OR REPLACE FUNCTION {staging}.count_keys(given text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN regexp_count(regexp_replace(given, '"(?:[^"\\]|\\.)*"', '', 'g'), ':');

-- Whether a JSON text has keys that jsonb lacks, since it keeps the last of equal ones.
CREATE OR REPLACE FUNCTION {staging}.loses_keys(old text, new jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN old NOT IN ('', '{}') AND {staging}.count_keys(old) <> {staging}.count_keys(new::text);

-- The tenant: an old one other than the column's default, else by the user where users become tenants, else {tenant}.
CREATE OR REPLACE FUNCTION {staging}.as_tenant(old_tenant text, old_user text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN old_tenant <> 'default' AND {staging}.fits_as_tenant(old_tenant) THEN old_tenant
                WHEN {tenant_from_user} AND {staging}.fits_as_tenant(old_user) THEN old_user
                ELSE {tenant}
           END;

-- Whether a vector or a link names another tenant than its memory did and has now.
CREATE OR REPLACE FUNCTION {staging}.names_another(own text, old_tenant text, new_tenant text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(own <> '' AND own <> coalesce(nullif(old_tenant, ''), 'default') AND own <> new_tenant, false);

-- Whether a time is in no year of our calendar; none at all is not.
CREATE OR REPLACE FUNCTION {staging}.is_no_instant(ms bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(ms NOT BETWEEN -62135596800000 AND 253402300799999, false);

-- Milliseconds since 1970, exactly: whole seconds and the rest apart, since a float8 of microseconds would round.
-- Null where no calendar of ours has the year.
CREATE OR REPLACE FUNCTION {staging}.as_instant(ms bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN NOT {staging}.is_no_instant(ms)
                THEN to_timestamp(floor(ms / 1000.0)) + (ms - 1000 * floor(ms / 1000.0)) * interval '1 millisecond'
           END;

-- Whether a JSON text holds what clients' parsers do not take: a hundred levels of nesting, or a number with 309 digits
-- in a row, which may be more than a double is (Python reads none of 4,300).
CREATE OR REPLACE FUNCTION {staging}.is_unreadable(given text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (octet_length(given) >= 200 AND given::jsonb @? '$.**{100}')
           OR (given ~ '[0-9]{255}|[0-9][eE][+]?[0-9]{3}'
               AND (SELECT max(length(digits[1]))
                      FROM regexp_matches(given::jsonb::text, '[0-9]+', 'g') AS digits) >= 309);

-- JSON, or null where it is none, is unreadable, or holds what jsonb cannot. PostgreSQL 15 can only be asked by trying,
-- which begins a subtransaction, and a parallel query may have none.
CREATE OR REPLACE FUNCTION {staging}.as_json(old text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
AS $body$
BEGIN
    RETURN CASE WHEN NOT {staging}.is_unreadable(old) THEN old::jsonb END;
EXCEPTION
    WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex OR program_limit_exceeded
      OR numeric_value_out_of_range THEN
        RETURN NULL;
END
$body$;

-- Whether each tag is a text already.
CREATE OR REPLACE FUNCTION {staging}.are_tags(old jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(jsonb_typeof(old) = 'array' AND NOT old @? 'strict $[*] ? (@.type() <> "string")', false);

CREATE OR REPLACE FUNCTION {staging}.as_tags(old jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(old) = 'array'
                THEN ARRAY(SELECT coalesce(tag.value #>> '{}', 'null')
                             FROM jsonb_array_elements(old) WITH ORDINALITY AS tag (value, place)
                            ORDER BY tag.place)
                ELSE '{}'
           END;

-- A number in [0, 1]; `otherwise` for none at all.
CREATE OR REPLACE FUNCTION {staging}.as_share(old double precision, otherwise double precision) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN old IS NULL OR old = 'NaN' THEN otherwise ELSE least(1, greatest(0, old)) END;

CREATE OR REPLACE FUNCTION {staging}.as_sector(old text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN old IN ('episodic', 'semantic', 'procedural', 'emotional', 'reflective') THEN old ELSE 'semantic' END;

-- The sector's bit; none for a name that is no sector.
CREATE OR REPLACE FUNCTION {staging}.sector_bit(sector text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE sector WHEN 'episodic' THEN 1 WHEN 'semantic' THEN 2 WHEN 'procedural' THEN 4 WHEN 'emotional' THEN 8
                       WHEN 'reflective' THEN 16 ELSE 0 END;

-- How much salience a memory of the sector loses in a day, where the old row does not say.
CREATE OR REPLACE FUNCTION {staging}.sector_decay(sector text) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE sector WHEN 'episodic' THEN 0.015 WHEN 'procedural' THEN 0.008 WHEN 'emotional' THEN 0.02
                       WHEN 'reflective' THEN 0.001 ELSE 0.005 END;

-- The same, by what the old row says, if that is one.
CREATE OR REPLACE FUNCTION {staging}.as_rate(old double precision, sector text) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN old >= 0 AND old < 'Infinity' THEN old ELSE {staging}.sector_decay({staging}.as_sector(sector)) END;

-- The metadata with the old values; one of the owner's own under that name goes among them, under the same name.
CREATE OR REPLACE FUNCTION {staging}.noted(metadata jsonb, old jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN old = '{}' THEN metadata
                WHEN metadata ? 'openmemory_old'
                THEN metadata || jsonb_build_object('openmemory_old', old
                                     || jsonb_build_object('openmemory_old', metadata -> 'openmemory_old'))
                ELSE metadata || jsonb_build_object('openmemory_old', old)
           END;

-- The old values that are noted, and the columns that have no place, whose values stay as they are.
CREATE OR REPLACE FUNCTION {staging}.to_note(old jsonb, columns jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN columns IS NULL THEN jsonb_strip_nulls(old)
                ELSE jsonb_strip_nulls(old) || jsonb_build_object('columns', columns)
           END;

COMMIT;

-- name: sectors
-- The sectors of a memory's vectors, by its id: through an index of the old vectors or, where they have none, of our own.
DO $do$
BEGIN
    IF to_regclass({old_sectors_text}) IS NOT NULL THEN
        RETURN;
    ELSIF {staging}.finds_by_id(to_regclass({old_vectors_text})) THEN
        CREATE VIEW {old_sectors} AS SELECT id AS raw_id, sector::text COLLATE "default" AS sector FROM {old_vectors_table};
    ELSE
        CREATE TABLE {old_sectors} AS SELECT raw_id, sector FROM {old_vectors};
        CREATE INDEX ON {old_sectors} (raw_id);
        ANALYZE {old_sectors};
    END IF;
END
$do$;

-- name: owners
-- Whose an old memory is, by its id, as each vector and each waypoint asks: the same for the old memories, whose key may
-- begin with the tenant or be lost.
DO $do$
BEGIN
    IF to_regclass({old_owners_text}) IS NOT NULL THEN
        RETURN;
    ELSIF {staging}.finds_by_id(to_regclass({old_memories_text})) THEN
        CREATE VIEW {old_owners} AS SELECT raw_id, id, tenant_id, user_id, project_id FROM {old_memories};
    ELSE
        CREATE TABLE {old_owners} AS SELECT raw_id, id, tenant_id, user_id, project_id FROM {old_memories};
        CREATE INDEX ON {old_owners} (raw_id);
        ANALYZE {old_owners};
    END IF;
END
$do$;

-- name: memories
-- The old memories of a range of heap blocks; returns how many. `ids` and `fingerprints` come from Python, which folds
-- text as SQL cannot; without them the fingerprint is null until `openmemory migrate` fills it.
CREATE OR REPLACE FUNCTION {staging}.lift_memories(
    first_block bigint, end_block bigint, ids text[] DEFAULT '{}', fingerprints uuid[] DEFAULT '{}'
) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    lifted bigint;
BEGIN
    INSERT INTO {memories} (tenant_id, id, user_id, project_id, content, primary_sector, sectors, tags, metadata,
                            salience, salience_at, decay_rate, occurred_at, last_seen_at, created_at, updated_at,
                            version, fingerprint)
    SELECT {staging}.as_tenant(m.tenant_id, m.user_id),
           {staging}.as_id(m.id),
           {staging}.as_name(m.user_id),
           {staging}.as_name(m.project_id),
           m.content,
           k.sector,
           {staging}.sector_bit(k.sector) | coalesce((SELECT bit_or({staging}.sector_bit(v.sector))
                                                        FROM {old_sectors} v
                                                       WHERE v.raw_id = m.raw_id), 0),
           {staging}.as_tags(k.tags),
           {staging}.noted(
               CASE WHEN jsonb_typeof(k.meta) = 'object' THEN k.meta ELSE '{}' END,
               {staging}.to_note(jsonb_build_object(
                   'id', CASE WHEN {staging}.as_id(m.id)::text <> m.id THEN m.id END,
                   'tenant_id', CASE WHEN NOT {staging}.fits_as_tenant(m.tenant_id) THEN m.tenant_id END,
                   'user_id', CASE WHEN {staging}.as_name(m.user_id) IS DISTINCT FROM m.user_id THEN m.user_id END,
                   'project_id', CASE WHEN {staging}.as_name(m.project_id) <> m.project_id THEN m.project_id END,
                   'primary_sector', CASE WHEN k.sector <> m.primary_sector THEN m.primary_sector END,
                   'tags', CASE WHEN m.tags <> '' AND NOT {staging}.are_tags(k.tags) THEN m.tags END,
                   'meta', CASE WHEN m.meta <> ''
                                     AND (jsonb_typeof(k.meta) IS DISTINCT FROM 'object'
                                          OR {staging}.loses_keys(m.meta, k.meta)) THEN m.meta END,
                   'salience', CASE WHEN m.salience <> {staging}.as_share(m.salience, -1) THEN m.salience END,
                   'decay_lambda', CASE WHEN m.decay_lambda <> k.decay_rate THEN m.decay_lambda END,
                   'version', CASE WHEN m.version < 1 THEN m.version END,
                   'feedback_score', nullif(m.feedback_score, 0),
                   'created_at', CASE WHEN k.created_at IS NULL THEN m.created_at END,
                   'updated_at', CASE WHEN k.updated_at IS NULL THEN m.updated_at END,
                   'last_seen_at', CASE WHEN k.last_seen_at IS NULL THEN m.last_seen_at END), m.other)),
           {staging}.as_share(m.salience, 0.5),
           coalesce(k.last_seen_at, k.updated_at, k.created_at, 'epoch'),
           k.decay_rate,
           coalesce(k.created_at, k.updated_at, k.last_seen_at, 'epoch'),
           coalesce(k.last_seen_at, k.updated_at, k.created_at, 'epoch'),
           coalesce(k.created_at, k.updated_at, k.last_seen_at, 'epoch'),
           coalesce(k.updated_at, k.created_at, k.last_seen_at, 'epoch'),
           greatest(1, coalesce(m.version, 1)),
           f.fingerprint
      FROM {old_memories} m
      LEFT JOIN unnest(ids, fingerprints) AS f (id, fingerprint)
        ON f.id = m.id
     CROSS JOIN LATERAL (
            SELECT {staging}.as_sector(m.primary_sector) AS sector,
                   {staging}.as_json(m.tags) AS tags,
                   {staging}.as_json(m.meta) AS meta,
                   {staging}.as_instant(m.created_at) AS created_at,
                   {staging}.as_instant(m.updated_at) AS updated_at,
                   {staging}.as_instant(m.last_seen_at) AS last_seen_at,
                   {staging}.as_rate(m.decay_lambda, m.primary_sector) AS decay_rate
            OFFSET 0) AS k
     WHERE m.place >= format('(%s,0)', first_block)::tid
       AND m.place < format('(%s,0)', end_block)::tid
     ORDER BY m.place;
    GET DIAGNOSTICS lifted = ROW_COUNT;
    RETURN lifted;
END
$body$;

-- name: users
-- All users that have a row; one without a name is set aside. Those that only memories name get theirs as well.
CREATE OR REPLACE FUNCTION {staging}.lift_users() RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    lifted bigint;
BEGIN
    DELETE FROM {users};
    DELETE FROM {row_quarantine} WHERE source = 'users';
    INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
    SELECT {tenant}, 'users', coalesce(u.user_id, ''), 'has no name', u.original
      FROM {old_users} u
     WHERE coalesce(u.user_id, '') = ''
     UNION ALL
    SELECT {staging}.as_tenant(u.tenant_id, u.user_id), 'users', u.user_id,
           'its name is longer than 128 bytes or has control characters; kept with a digest of it', u.original
      FROM {old_users} u
     WHERE {staging}.as_name(u.user_id) <> u.user_id
     UNION ALL
    SELECT {staging}.as_tenant(u.tenant_id, u.user_id), 'users', u.user_id,
           'a time of it is in no year of the calendar; kept with another of its times', u.original
      FROM {old_users} u
     WHERE u.user_id <> ''
       AND ({staging}.is_no_instant(u.created_at) OR {staging}.is_no_instant(u.updated_at))
     UNION ALL
    SELECT {staging}.as_tenant(u.tenant_id, u.user_id), 'users', u.user_id,
           'a time or number of it is none of the new column''s; kept as near as that has it', u.original
      FROM {old_users} u
     WHERE u.user_id <> ''
       AND u.is_rounded;
    INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
    SELECT {tenant}, 'users', n.user_id, 'its name may not be a tenant''s; kept with the rows of no user',
           jsonb_build_object('user_id', n.user_id)
      FROM (SELECT tenant_id, user_id FROM {old_users}
             UNION
            SELECT tenant_id, user_id FROM {old_memories}
             UNION
            SELECT tenant_id, user_id FROM {old_facts}) AS n
     WHERE {tenant_from_user}
       AND n.user_id <> ''
       AND NOT {staging}.fits_as_tenant(n.user_id)
       AND {staging}.as_tenant(n.tenant_id, n.user_id) = {tenant}
     GROUP BY n.user_id;
    -- Tenants whose names may not be tenants' share one, and may each have had a user of that name.
    INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
    SELECT n.tenant_id, 'users', n.user_id, 'the tenant has one of its name; kept as the row that came first',
           n.original
      FROM (SELECT {staging}.as_tenant(u.tenant_id, u.user_id) AS tenant_id, u.user_id, u.original,
                   row_number() OVER (PARTITION BY {staging}.as_tenant(u.tenant_id, u.user_id),
                                                   {staging}.as_name(u.user_id)
                                          ORDER BY u.place) AS turn
              FROM {old_users} u
             WHERE u.user_id <> '') AS n
     WHERE n.turn > 1;
    INSERT INTO {users} (tenant_id, user_id, summary, reflection_count, created_at, updated_at)
    SELECT {staging}.as_tenant(u.tenant_id, u.user_id), {staging}.as_name(u.user_id), u.summary,
           coalesce(u.reflection_count, 0),
           coalesce({staging}.as_instant(u.created_at), {staging}.as_instant(u.updated_at), 'epoch'),
           coalesce({staging}.as_instant(u.updated_at), {staging}.as_instant(u.created_at), 'epoch')
      FROM {old_users} u
     WHERE u.user_id <> ''
     ORDER BY u.place
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS lifted = ROW_COUNT;
    WITH added AS (
        INSERT INTO {users} (tenant_id, user_id, created_at, updated_at)
        SELECT tenant_id, user_id, min(created_at), max(created_at)
          FROM {memories}
         WHERE user_id IS NOT NULL
         GROUP BY tenant_id, user_id
            ON CONFLICT DO NOTHING
        RETURNING user_id
    )
    -- Whether one who is of two tenants is one person or two, nobody can tell: the row stays where it was.
    INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
    SELECT {staging}.as_tenant(u.tenant_id, u.user_id), 'users', u.user_id,
           'it has memories in a tenant where it has no row; kept in both', u.original
      FROM {old_users} u
     WHERE {staging}.as_name(u.user_id) IN (SELECT user_id FROM added);
    INSERT INTO {tenants} (tenant_id)
    SELECT tenant_id FROM {users}
     UNION
    SELECT DISTINCT tenant_id FROM {memories}
     UNION
    SELECT {tenant}
        ON CONFLICT DO NOTHING;
    RETURN lifted;
END
$body$;

-- name: waypoints
-- The old waypoints of a range of heap blocks; returns how many were read. A link whose memory is gone or of another
-- tenant, and one that is there already, is set aside. What a link that comes across cannot keep is noted there as well:
-- a weight outside [0, 1], a tenant and a project, for which waypoints have no column, where they are not those of the
-- source, a long name and a time that is none.
CREATE OR REPLACE FUNCTION {staging}.lift_waypoints(first_block bigint, end_block bigint) RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    seen bigint;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT {staging}.as_tenant(s.tenant_id, s.user_id) AS tenant_id, {staging}.as_id(w.src_id) AS src_id,
               {staging}.as_id(w.dst_id) AS dst_id, w.src_id AS old_src_id, {staging}.as_name(w.user_id) AS user_id,
               {staging}.as_share(w.weight, 0) AS weight,
               {staging}.as_instant(w.created_at) AS created_at, {staging}.as_instant(w.updated_at) AS updated_at,
               w.original,
               CASE WHEN s.id IS NULL THEN 'its source is no memory'
                    WHEN d.id IS NULL THEN 'its target is no memory'
                    WHEN {staging}.as_tenant(s.tenant_id, s.user_id) <> {staging}.as_tenant(d.tenant_id, d.user_id)
                    THEN 'it leads to another tenant'
               END AS problem,
               CASE WHEN w.weight <> {staging}.as_share(w.weight, 0)
                    THEN 'its weight is outside [0, 1]; kept as the nearer end'
                    WHEN {staging}.names_another(w.tenant_id, s.tenant_id,
                                                 {staging}.as_tenant(s.tenant_id, s.user_id))
                    THEN 'its tenant is not that of its source; kept with the source'
                    WHEN nullif(w.project_id, '') <> coalesce(s.project_id, '')
                    THEN 'its project is not that of its source; kept without one'
                    WHEN {staging}.as_name(w.user_id) <> w.user_id
                    THEN 'its user''s name is longer than 128 bytes or has control characters; kept with a digest of it'
                    WHEN {staging}.is_no_instant(w.created_at) OR {staging}.is_no_instant(w.updated_at)
                    THEN 'a time of it is in no year of the calendar; kept with another of its times'
                    WHEN w.is_rounded
                    THEN 'a time or number of it is none of the new column''s; kept as near as that has it'
               END AS note,
               row_number() OVER (PARTITION BY w.raw_src_id, w.raw_dst_id ORDER BY w.place) AS turn
          FROM {old_waypoints} w
          LEFT JOIN {old_owners} s
            ON s.raw_id = w.raw_src_id
          LEFT JOIN {old_owners} d
            ON d.raw_id = w.raw_dst_id
         WHERE w.place >= format('(%s,0)', first_block)::tid
           AND w.place < format('(%s,0)', end_block)::tid
    ), kept AS (
        INSERT INTO {waypoints} (tenant_id, src_id, dst_id, user_id, weight, created_at, updated_at)
        SELECT tenant_id, src_id, dst_id, user_id, weight, coalesce(created_at, updated_at, 'epoch'),
               coalesce(updated_at, created_at, 'epoch')
          FROM given
         WHERE problem IS NULL
           AND turn = 1
            ON CONFLICT DO NOTHING
        RETURNING src_id, dst_id
    ), aside AS (
        INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
        SELECT coalesce(g.tenant_id, {tenant}), 'waypoints', coalesce(g.old_src_id, ''),
               CASE WHEN g.problem IS NOT NULL THEN g.problem
                    WHEN g.turn > 1 OR k.src_id IS NULL THEN 'the same link is there already'
                    ELSE g.note
               END,
               g.original
          FROM given g
          LEFT JOIN kept k
            ON k.src_id = g.src_id
           AND k.dst_id = g.dst_id
         WHERE g.problem IS NOT NULL
            OR g.turn > 1
            OR k.src_id IS NULL
            OR g.note IS NOT NULL
    )
    SELECT count(*) INTO seen FROM given;
    RETURN seen;
END
$body$;

-- name: facts
-- All temporal facts, in one go: each is true until the next one of the same user, subject and predicate. Upstream's
-- last millisecond is included; a fact without any time of its own keeps a microsecond, and its old times are noted.
-- One that lacks what makes a fact is set aside.
CREATE OR REPLACE FUNCTION {staging}.facts_as_lifted() RETURNS TABLE (
    tenant_id text, id uuid, user_id text, project_id text, subject text, predicate text, object text, valid tstzrange,
    confidence double precision, metadata jsonb, created_at timestamptz, last_updated timestamptz
)
    LANGUAGE sql STABLE
AS $body$
    WITH given AS (
        SELECT f.id, f.subject, f.predicate, f.object, f.valid_from, f.valid_to, f.confidence, f.last_updated, f.metadata,
               f.other,
               f.user_id AS old_user_id,
               f.project_id AS old_project_id,
               {staging}.as_tenant(f.tenant_id, f.user_id) AS tenant_id,
               {staging}.as_name(f.user_id) AS user_id,
               {staging}.as_name(f.project_id) AS project_id,
               {staging}.as_json(f.metadata) AS meta,
               {staging}.as_instant(f.valid_to) AS ends,
               coalesce({staging}.as_instant(f.valid_from), {staging}.as_instant(f.last_updated), 'epoch') AS instant
          FROM {old_facts} f
         WHERE num_nulls(f.id, f.subject, f.predicate, f.object) = 0
    ), in_turn AS (
        SELECT *,
               row_number() OVER (PARTITION BY tenant_id, user_id, project_id, subject, predicate
                                      ORDER BY instant, last_updated NULLS FIRST, id) AS turn
          FROM given
    ), apart AS (
        -- Facts of one instant follow each other by microseconds, the latest written last; so do those of the next
        -- instant, where the ones before it took more than its time.
        SELECT *,
               max(instant - interval '1 microsecond' * turn)
                   OVER (PARTITION BY tenant_id, user_id, project_id, subject, predicate ORDER BY turn)
                   + interval '1 microsecond' * turn AS begins
          FROM in_turn
    ), followed AS (
        SELECT *,
               lead(begins) OVER (PARTITION BY tenant_id, user_id, project_id, subject, predicate
                                      ORDER BY begins) AS next_begins
          FROM apart
    ), bounded AS (
        SELECT *,
               CASE WHEN ends >= begins OR valid_to IS NULL
                    THEN tstzrange(begins, ends, '[]')
               END AS told,
               CASE WHEN coalesce(ends, 'infinity') >= next_begins
                    THEN tstzrange(begins, next_begins, '[)')
                    WHEN ends IS NULL
                    THEN tstzrange(begins, NULL, '[)')
                    ELSE tstzrange(begins, greatest(begins, ends), '[]')
               END AS valid
          FROM followed
    )
    SELECT n.tenant_id, {staging}.as_id(n.id), n.user_id, n.project_id, n.subject, n.predicate, n.object, n.valid,
           {staging}.as_share(n.confidence, 1),
           {staging}.noted(
               CASE WHEN jsonb_typeof(n.meta) = 'object' THEN n.meta ELSE '{}' END,
               {staging}.to_note(jsonb_build_object(
                   'id', CASE WHEN {staging}.as_id(n.id)::text <> n.id THEN n.id END,
                   'user_id', CASE WHEN n.user_id IS DISTINCT FROM n.old_user_id THEN n.old_user_id END,
                   'project_id', CASE WHEN n.project_id <> n.old_project_id THEN n.old_project_id END,
                   'valid_from', CASE WHEN n.begins IS DISTINCT FROM {staging}.as_instant(n.valid_from)
                                      THEN n.valid_from END,
                   'valid_to', CASE WHEN n.valid IS DISTINCT FROM n.told THEN n.valid_to END,
                   'last_updated', CASE WHEN {staging}.is_no_instant(n.last_updated) THEN n.last_updated END,
                   'confidence', CASE WHEN n.confidence <> {staging}.as_share(n.confidence, -1) THEN n.confidence END,
                   'metadata', CASE WHEN n.metadata <> ''
                                         AND (jsonb_typeof(n.meta) IS DISTINCT FROM 'object'
                                              OR {staging}.loses_keys(n.metadata, n.meta)) THEN n.metadata END), n.other)
               -- One that was open until the next one closed it.
               || CASE WHEN n.valid_to IS NULL AND upper(n.valid) IS NOT NULL
                       THEN '{"valid_to": null}'
                       ELSE '{}'
                  END::jsonb),
           n.begins, coalesce({staging}.as_instant(n.last_updated), n.begins)
      FROM bounded n
$body$;

CREATE OR REPLACE FUNCTION {staging}.lift_facts() RETURNS bigint
    LANGUAGE plpgsql
AS $body$
DECLARE
    lifted bigint;
BEGIN
    DELETE FROM {temporal_facts};
    DELETE FROM {row_quarantine} WHERE source = 'facts';
    INSERT INTO {row_quarantine} (tenant_id, source, id, reason, original)
    SELECT {staging}.as_tenant(f.tenant_id, f.user_id), 'facts', coalesce(f.id, ''),
           'has no id, subject, predicate or object', f.original
      FROM {old_facts} f
     WHERE num_nulls(f.id, f.subject, f.predicate, f.object) > 0;
    INSERT INTO {temporal_facts} (tenant_id, id, user_id, project_id, subject, predicate, object, valid, confidence,
                                  metadata, created_at, last_updated)
    SELECT *
      FROM {staging}.facts_as_lifted();
    GET DIAGNOSTICS lifted = ROW_COUNT;
    INSERT INTO {tenants} (tenant_id)
    SELECT DISTINCT tenant_id FROM {temporal_facts}
        ON CONFLICT DO NOTHING;
    RETURN lifted;
END
$body$;

-- name: procedure
-- The loop around the functions, for psql: CALL {staging}.lift_rows(10000); `openmemory migrate` has its own, which
-- also brings fingerprints, and makes those that this one leaves out. Commits after each range of blocks, so that it can
-- be stopped at any moment and called again.
CREATE OR REPLACE PROCEDURE {staging}.lift_rows(batch_rows integer DEFAULT 10000)
    LANGUAGE plpgsql
AS $body$
DECLARE
    source record;
    block bigint;
    blocks bigint;
    step bigint;
    aside record;
BEGIN
    FOR source IN
        SELECT *
          FROM (VALUES ('memories', to_regclass({old_memories_text})), ('waypoints', to_regclass({old_waypoints_text})))
               AS s (name, old)
         WHERE old IS NOT NULL
    LOOP
        step := {staging}.blocks_per_batch(source.old, batch_rows);
        LOOP
            PERFORM {staging}.hold_lock();
            block := {staging}.resume_at(source.name, source.old);
            blocks := pg_relation_size(source.old) / current_setting('block_size')::bigint;
            EXIT WHEN block >= blocks;
            IF source.name = 'memories' THEN
                INSERT INTO {upgrade} (name, value)
                VALUES ('fingerprints', 'pending')
                    ON CONFLICT (name) DO UPDATE SET value = excluded.value;
                PERFORM {staging}.lift_memories(block, block + step);
            ELSE
                PERFORM {staging}.lift_waypoints(block, block + step);
            END IF;
            block := block + step;
            UPDATE {upgrade} SET value = block WHERE name = source.name || '_block';
            COMMIT;
            RAISE NOTICE '%: block % of %', source.name, least(block, blocks), blocks;
        END LOOP;
    END LOOP;
    PERFORM {staging}.hold_lock();
    RAISE NOTICE 'users: %', {staging}.lift_users();
    RAISE NOTICE 'facts: %', {staging}.lift_facts();
    COMMIT;
    FOR aside IN
        SELECT q.source, q.reason, count(*) AS rows, min(q.id) AS example
          FROM {row_quarantine} q
         GROUP BY q.source, q.reason
         ORDER BY q.source, q.reason
    LOOP
        RAISE NOTICE 'set aside: % (%: %), such as %', aside.rows, aside.source, aside.reason, aside.example;
    END LOOP;
END
$body$;

-- name: batch
-- How many heap blocks hold about so many rows.
CREATE OR REPLACE FUNCTION {staging}.blocks_per_batch(source regclass, batch_rows integer) RETURNS bigint
    LANGUAGE plpgsql STABLE
AS $body$
DECLARE
    total bigint;
BEGIN
    -- Counted, since a table that was never analysed knows nothing of its rows.
    EXECUTE format('SELECT count(*) FROM %s', source) INTO total;
    RETURN greatest(1, pg_relation_size(source) / current_setting('block_size')::bigint * batch_rows / greatest(1, total));
END
$body$;

-- name: lift
CALL {staging}.lift_rows({batch_size});

-- name: find
-- 003 finds each vector's memory by this index, which 004 makes the key.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {memories_pkey} ON {memories} (tenant_id, id);

-- name: analyze
ANALYZE {memories};
