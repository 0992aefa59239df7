-- Which rows 002 will set aside, or note in the quarantine what of them it cannot keep: counted beforehand by the same
-- conditions and in the same words. Nothing is changed here.

-- name: taken
-- Names that the new tables will want in the schema and that something else there has, which is no part of an old table.
-- The same is asked once more when the new tables are there, and their names are known from the catalogue.
SELECT taken.relname::text
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
 WHERE nspname IN ({kept_text}, {staging_text})
 ORDER BY 1;

-- name: waypoints
SELECT CASE WHEN problem IS NOT NULL THEN problem
            WHEN turn > 1 THEN 'the same link is there already'
            ELSE note
       END AS reason,
       count(*),
       count(*) FILTER (WHERE problem IS NULL AND across)
  FROM (SELECT CASE WHEN s.raw_id IS NULL THEN 'its source is no memory'
                    WHEN d.raw_id IS NULL THEN 'its target is no memory'
               END AS problem,
               CASE WHEN w.weight < 0 OR w.weight > 1
                    THEN 'its weight is outside [0, 1]; kept as the nearer end'
                    WHEN nullif(w.project_id, '') <> coalesce(s.project_id, '')
                    THEN 'its project is not that of its source; kept without one'
                    WHEN octet_length(w.user_id) > 128 OR w.user_id ~ '[\u0001-\u001f\u007f-\u009f]'
                    THEN 'its user''s name is longer than 128 bytes or has control characters; kept with a digest of it'
               END AS note,
               coalesce(s.user_id, '') <> coalesce(d.user_id, '') AS across,
               row_number() OVER (PARTITION BY w.src_id, w.dst_id ORDER BY w.place) AS turn
          FROM ({waypoints_rows}) AS w
          LEFT JOIN ({memories_rows}) AS s
            ON s.raw_id = w.raw_src_id
          LEFT JOIN ({memories_rows}) AS d
            ON d.raw_id = w.raw_dst_id) AS given
 GROUP BY 1;

-- name: users
SELECT CASE WHEN coalesce(u.user_id, '') = '' THEN 'has no name'
            ELSE 'its name is longer than 128 bytes or has control characters; kept with a digest of it'
       END AS reason,
       count(*)
  FROM ({users_rows}) AS u
 WHERE coalesce(u.user_id, '') = ''
    OR octet_length(u.user_id) > 128
    OR u.user_id ~ '[\u0001-\u001f\u007f-\u009f]'
 GROUP BY 1;

-- name: facts
SELECT 'its subject and predicate are longer than 3,000 bytes' AS reason,
       count(*)
  FROM ({facts_rows}) AS f
 WHERE (octet_length(f.subject || f.predicate) <= 3000) IS NOT TRUE;

-- name: names
-- Who would become a tenant.
SELECT DISTINCT n.user_id
  FROM (SELECT user_id, tenant_id FROM ({users_rows}) AS u
         UNION ALL
        SELECT user_id, tenant_id FROM ({memories_rows}) AS m
         UNION ALL
        SELECT user_id, tenant_id FROM ({facts_rows}) AS f) AS n
 WHERE n.user_id <> ''
   AND coalesce(n.tenant_id, 'default') = 'default';
