-- Which rows 002 will set aside, or note in the quarantine what of them it cannot keep: counted beforehand by the same
-- conditions and in the same words. Nothing is changed here.

-- name: taken
-- Names that the new tables bring into the schema and that something else there has, which is no part of an old table.
SELECT taken.relname::text AS name
  FROM pg_class taken
 WHERE taken.relnamespace = to_regnamespace(quote_ident({final_text}))
   AND taken.relname = ANY ({new_names}::text[])
   AND NOT EXISTS (
           SELECT
             FROM (VALUES (to_regclass({old_memories_text})), (to_regclass({old_vectors_text})),
                          (to_regclass({old_waypoints_text})), (to_regclass({old_users_text})),
                          (to_regclass({old_facts_text}))) AS old (oid)
            WHERE taken.oid = old.oid
               OR EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = taken.oid AND i.indrelid = old.oid)
               OR EXISTS (SELECT FROM pg_depend d WHERE d.objid = taken.oid AND d.refobjid = old.oid))
 UNION
SELECT format('function %s', oid::regprocedure)
  FROM pg_proc
 WHERE pronamespace = to_regnamespace(quote_ident({final_text}))
   AND proname = 'openmemory_faded'
 UNION
SELECT format('schema %I', nspname)
  FROM pg_namespace
 WHERE nspname = {kept_text}
    OR nspname = {staging_text} AND NOT {is_staged}
 ORDER BY 1;

-- name: tenants
-- The tenants that the rows of an old table name.
SELECT DISTINCT tenant_id::text COLLATE "default" AS name
  FROM {table}
 WHERE tenant_id::text <> '';

-- name: has_unseen
-- Whether TEXT has commas or what cannot be seen, as 002 says.
CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN TEXT ~ '[,\u0001-\u001f\u007f-\u00a0\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2'
                     '\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb'
                     '\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
                     '\U000e0001\U000e0020-\U000e007f]'
         ELSE encode(convert_to(TEXT, 'UTF8'), 'escape')
              ~ '[,\u0001-\u001f\u007f]|\\302\\(2[0-3][0-7]|240|255)|\\342\\200\\2[01][0-7]|\\343\\200\\200'
    END

-- name: is_odd
-- Whether TEXT is longer than 128 bytes or has control characters, as 002 says.
CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN octet_length(TEXT) > 128 OR TEXT ~ '[\u0001-\u001f\u007f-\u009f]'
         ELSE octet_length(convert_to(TEXT, 'UTF8')) > 128
              OR encode(convert_to(TEXT, 'UTF8'), 'escape') ~ '[\u0001-\u001f\u007f]|\\302\\2[0-3][0-7]'
    END

-- name: as_plain
-- TEXT without its control characters, as 002 says.
CASE getdatabaseencoding()
         WHEN 'UTF8'
         THEN regexp_replace(TEXT, '[\u0001-\u001f\u007f-\u009f]', '', 'g')
         ELSE convert_from(decode(regexp_replace(encode(convert_to(TEXT, 'UTF8'), 'escape'),
                                                 '[\u0001-\u001f\u007f]|\\302\\2[0-3][0-7]', '', 'g'), 'escape'), 'UTF8')
    END

-- name: tenant
-- The tenant of a row of memories, by the same rules as the functions of 002, which are not there yet.
CASE WHEN ROW.tenant_id <> 'default' AND ROW.tenant_id <> '' AND ROW.tenant_id = btrim(ROW.tenant_id)
          AND NOT {is_odd_tenant} AND NOT {has_unseen_tenant}
     THEN ROW.tenant_id
     WHEN {tenant_from_user} AND ROW.user_id <> '' AND ROW.user_id = btrim(ROW.user_id)
          AND NOT {is_odd_user} AND NOT {has_unseen_user}
     THEN ROW.user_id
     ELSE {tenant}
END

-- name: name
-- What the user of ROW is called afterwards.
CASE WHEN {is_odd_user}
     THEN left({as_plain_user}, 23) || '~' || md5(ROW.user_id)
     ELSE ROW.user_id
END

-- name: waypoints
SELECT coalesce(problem, CASE WHEN turn > 1 THEN 'the same link is there already' END, note) AS reason,
       count(*) AS count,
       min(src_id) AS example
  FROM (SELECT w.src_id,
               CASE WHEN s.raw_id IS NULL THEN 'its source is no memory'
                    WHEN d.raw_id IS NULL THEN 'its target is no memory'
                    WHEN {tenant_of_s} <> {tenant_of_d} THEN 'it leads to another tenant'
               END AS problem,
               CASE WHEN w.weight < 0 OR w.weight > 1
                    THEN 'its weight is outside [0, 1]; kept as the nearer end'
                    WHEN w.tenant_id <> ''
                         AND w.tenant_id <> coalesce(nullif(s.tenant_id, ''), 'default')
                         AND w.tenant_id <> {tenant_of_s}
                    THEN 'its tenant is not that of its source; kept with the source'
                    WHEN nullif(w.project_id, '') <> coalesce(s.project_id, '')
                    THEN 'its project is not that of its source; kept without one'
                    WHEN {odd_user_of_w}
                    THEN 'its user''s name is longer than 128 bytes or has control characters; kept with a digest of it'
                    WHEN w.created_at NOT BETWEEN -62135596800000 AND 253402300799999
                         OR w.updated_at NOT BETWEEN -62135596800000 AND 253402300799999
                    THEN 'a time of it is in no year of the calendar; kept with another of its times'
                    WHEN w.is_rounded
                    THEN 'a time or number of it is none of the new column''s; kept as near as that has it'
               END AS note,
               row_number() OVER (PARTITION BY w.raw_src_id, w.raw_dst_id ORDER BY w.place) AS turn
          FROM ({waypoints_rows}) AS w
          LEFT JOIN ({memories_rows}) AS s
            ON s.raw_id = w.raw_src_id
          LEFT JOIN ({memories_rows}) AS d
            ON d.raw_id = w.raw_dst_id) AS given
 WHERE coalesce(problem, note) IS NOT NULL
    OR turn > 1
 GROUP BY 1;

-- name: vectors
SELECT note AS reason,
       count(*) AS count,
       min(id) AS example
  FROM (SELECT v.id,
               CASE WHEN v.tenant_id <> ''
                         AND v.tenant_id <> coalesce(nullif(m.tenant_id, ''), 'default')
                         AND v.tenant_id <> {tenant_of_m}
                    THEN 'its tenant is not that of its memory; kept with the memory'
                    WHEN nullif(v.project_id, '') <> coalesce(m.project_id, '')
                    THEN 'its project is not that of its memory; kept with the memory'
                    WHEN nullif(v.user_id, '') <> coalesce(m.user_id, '')
                    THEN 'its user is not that of its memory; kept with the memory'
                    WHEN v.dim <> v.value_dim AND v.value_dim = {to_be}
                    THEN 'its dim is not how many numbers it has; kept by its numbers'
               END AS note
          FROM ({vectors_rows}) AS v
          JOIN ({memories_rows}) AS m
            ON m.raw_id = v.raw_id) AS given
 WHERE note IS NOT NULL
 GROUP BY 1;

-- name: users
SELECT CASE WHEN coalesce(u.user_id, '') = '' THEN 'has no name'
            ELSE 'its name is longer than 128 bytes or has control characters; kept with a digest of it'
       END AS reason,
       count(*) AS count,
       min(u.user_id) AS example
  FROM ({users_rows}) AS u
 WHERE coalesce(u.user_id, '') = ''
    OR {odd_user_of_u}
 GROUP BY 1
 UNION ALL
SELECT 'a time of it is in no year of the calendar; kept with another of its times',
       count(*),
       min(u.user_id)
  FROM ({users_rows}) AS u
 WHERE u.user_id <> ''
   AND (u.created_at NOT BETWEEN -62135596800000 AND 253402300799999
        OR u.updated_at NOT BETWEEN -62135596800000 AND 253402300799999)
HAVING count(*) > 0
 UNION ALL
SELECT 'a time or number of it is none of the new column''s; kept as near as that has it',
       count(*),
       min(u.user_id)
  FROM ({users_rows}) AS u
 WHERE u.user_id <> ''
   AND u.is_rounded
HAVING count(*) > 0
 UNION ALL
SELECT 'the tenant has one of its name; kept as the row that came first', sum(count - 1)::bigint, min(user_id)
  FROM (SELECT count(*) AS count, min(u.user_id) AS user_id
          FROM ({users_rows}) AS u
         WHERE u.user_id <> ''
         GROUP BY {tenant_of_u}, {name_of_u}
        HAVING count(*) > 1) AS doubled
HAVING count(*) > 0;

-- name: elsewhere
-- Users whose row is in another tenant than memories of theirs are, where they have none: they get one there.
SELECT 'it has memories in a tenant where it has no row; kept in both' AS reason,
       count(*) AS count,
       min(u.user_id) AS example
  FROM ({users_rows}) AS u
 WHERE {name_of_u} IN (
           SELECT user_id
             FROM (SELECT {tenant_of_m} AS tenant_id, {name_of_m} AS user_id
                     FROM ({memories_rows}) AS m
                    WHERE m.user_id <> ''
                   EXCEPT
                   SELECT {tenant_of_o}, {name_of_o}
                     FROM ({users_rows}) AS o) AS added);

-- name: facts
SELECT 'has no id, subject, predicate or object' AS reason,
       count(*) AS count,
       min(f.id) AS example
  FROM ({facts_rows}) AS f
 WHERE num_nulls(f.id, f.subject, f.predicate, f.object) > 0;

-- name: names
-- Who would become a tenant.
SELECT DISTINCT n.user_id AS name
  FROM (SELECT user_id, tenant_id FROM ({users_rows}) AS u
         UNION ALL
        SELECT user_id, tenant_id FROM ({memories_rows}) AS m
         UNION ALL
        SELECT user_id, tenant_id FROM ({facts_rows}) AS f) AS n
 WHERE n.user_id <> ''
   AND {tenant_of_n} = {tenant};

-- name: namesake
-- Whether a user who becomes a tenant has the name of the one that gets the rows of no user.
SELECT EXISTS (SELECT FROM ({memories_rows}) AS m WHERE m.user_id = {tenant})
    OR EXISTS (SELECT FROM ({users_rows}) AS u WHERE u.user_id = {tenant})
    OR EXISTS (SELECT FROM ({facts_rows}) AS f WHERE f.user_id = {tenant}) AS yes;

-- name: joined
-- Tenants that rows name as their own and that others would go to as well: those of a user of that name, who is none of
-- theirs, and, for the tenant of rows that name none, the others that name none.
SELECT becomes AS name,
       bool_or(of_user AND NOT is_own) AND bool_or(is_own AND NOT of_user) AS is_users,
       bool_or(NOT of_user AND NOT is_own) AS is_rests
  FROM (SELECT becomes,
               coalesce(becomes = tenant_id AND tenant_id <> 'default', false) AS is_own,
               {tenant_from_user} AND coalesce(becomes = user_id, false) AS of_user
          FROM (SELECT n.tenant_id, n.user_id, {tenant_of_n} AS becomes
                  FROM (SELECT user_id, tenant_id FROM ({memories_rows}) AS m
                         UNION ALL
                        SELECT user_id, tenant_id FROM ({users_rows}) AS u
                         UNION ALL
                        SELECT user_id, tenant_id FROM ({facts_rows}) AS f) AS n) AS given) AS rows
 GROUP BY becomes
HAVING bool_or(is_own)
   AND bool_or(NOT is_own)
 ORDER BY becomes;

-- name: facts_twice
-- Facts whose ids are one in their tenant, of which the new table could hold one; one UUID in two writings is one id.
SELECT count(*) AS count,
       coalesce(min(written), '') AS example
  FROM (SELECT min(f.id) AS written
          FROM ({facts_rows}) AS f
         WHERE num_nulls(f.id, f.subject, f.predicate, f.object) = 0
         GROUP BY {tenant_of_f},
                  CASE WHEN f.id ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$'
                       THEN lower(replace(f.id, '-', ''))
                       ELSE f.id
                  END
        HAVING count(*) > 1) AS twice;
