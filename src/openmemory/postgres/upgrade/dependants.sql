-- name: dependants
-- What others have made of these tables, and what follows them where they go: kind, name and table. Nothing is changed.
WITH RECURSIVE row_types AS (
    SELECT y.oid, y.typrelid AS of_table
      FROM pg_type AS y
     WHERE y.typrelid = ANY ({tables})
     UNION
    -- Arrays of rows, domains over them, and arrays of those.
    SELECT d.objid, y.of_table
      FROM row_types AS y
      JOIN pg_depend AS d
        ON d.refclassid = 'pg_type'::regclass
       AND d.refobjid = y.oid
       AND d.classid = 'pg_type'::regclass
), standing AS (
    SELECT d.classid, d.objid, d.objsubid, d.refobjid AS of_table, false AS is_of_type
      FROM pg_depend AS d
     WHERE d.refclassid = 'pg_class'::regclass
       AND d.refobjid = ANY ({tables})
       AND d.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
     UNION
    SELECT d.classid, d.objid, d.objsubid, y.of_table, true
      FROM row_types AS y
      JOIN pg_depend AS d
        ON d.refclassid = 'pg_type'::regclass
       AND d.refobjid = y.oid
       AND d.deptype <> 'i'
     WHERE d.classid <> 'pg_class'::regclass
        OR d.objid <> ALL ({tables})
)
SELECT CASE WHEN c.relkind = 'm' THEN 'materialized view' ELSE 'view' END AS kind,
       r.ev_class::regclass::text AS name,
       string_agg(DISTINCT t.relname::text, ', ') AS of_table
  FROM standing AS d
  JOIN pg_class AS t
    ON t.oid = d.of_table
  JOIN pg_rewrite AS r
    ON r.oid = d.objid
  JOIN pg_class AS c
    ON c.oid = r.ev_class
 WHERE d.classid = 'pg_rewrite'::regclass
   AND c.oid <> ALL ({tables})
   AND c.relnamespace <> coalesce(to_regnamespace(quote_ident({staging_text})), 0)
 GROUP BY c.relkind, r.ev_class
 UNION
SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END,
       p.oid::regprocedure::text,
       t.relname
  FROM standing AS d
  JOIN pg_class AS t
    ON t.oid = d.of_table
  JOIN pg_proc AS p
    ON p.oid = d.objid
 WHERE d.classid = 'pg_proc'::regclass
   AND p.pronamespace <> coalesce(to_regnamespace(quote_ident({staging_text})), 0)
 UNION
SELECT CASE WHEN o.type IN ('type', 'operator', 'cast') THEN o.type
            WHEN a.attname IS NOT NULL THEN 'column'
            ELSE 'object'
       END,
       CASE WHEN a.attname IS NOT NULL
            THEN format('%I of %s', a.attname, a.attrelid::regclass)
            WHEN o.type IN ('type', 'operator', 'cast')
            THEN o.identity
            ELSE concat(o.type, ' ', o.identity)
       END,
       t.relname
  FROM standing AS d
  JOIN pg_class AS t
    ON t.oid = d.of_table
 CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS o
  LEFT JOIN pg_attribute AS a
    ON d.classid = 'pg_class'::regclass
   AND a.attrelid = d.objid
   AND a.attnum = d.objsubid
 WHERE d.is_of_type
   AND d.classid NOT IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
   -- A view's columns are its rule's.
   AND o.type NOT IN ('view column', 'materialized view column')
   AND o.schema IS DISTINCT FROM quote_ident({staging_text})
 UNION
SELECT CASE WHEN t.relispartition THEN 'partitioned table' ELSE 'parent' END, i.inhparent::regclass::text, t.relname
  FROM pg_inherits AS i
  JOIN pg_class AS t
    ON t.oid = i.inhrelid
 WHERE i.inhrelid = ANY ({tables})
 UNION
SELECT 'foreign key', format('%I of %s', f.conname, f.conrelid::regclass), t.relname
  FROM pg_constraint AS f
  JOIN pg_class AS t
    ON t.oid = f.confrelid
 WHERE f.contype = 'f'
   AND f.confrelid = ANY ({tables})
   AND f.conrelid <> ALL ({tables})
   AND f.conparentid = 0
 UNION
SELECT 'trigger', format('%I', g.tgname), t.relname
  FROM pg_trigger AS g
  JOIN pg_class AS t
    ON t.oid = g.tgrelid
 WHERE g.tgrelid = ANY ({tables})
   AND NOT g.tgisinternal
   AND g.tgname NOT IN ('openmemory_upgrade_guard', 'openmemory_upgrade_guard_truncate', 'openmemory_reembed')
 UNION
SELECT 'policy', format('%I', p.polname), t.relname
  FROM pg_policy AS p
  JOIN pg_class AS t
    ON t.oid = p.polrelid
 WHERE p.polrelid = ANY ({tables})
   AND p.polname <> 'tenant_isolation'
 UNION
SELECT 'rule', format('%I', r.rulename), t.relname
  FROM pg_rewrite AS r
  JOIN pg_class AS t
    ON t.oid = r.ev_class
 WHERE r.ev_class = ANY ({tables})
 UNION
SELECT 'statistics', format('%I', s.stxname), t.relname
  FROM pg_statistic_ext AS s
  JOIN pg_class AS t
    ON t.oid = s.stxrelid
 WHERE s.stxrelid = ANY ({tables})
 UNION
SELECT 'publication', format('%I', b.pubname), t.relname
  FROM pg_publication_rel AS l
  JOIN pg_publication AS b
    ON b.oid = l.prpubid
  JOIN pg_class AS t
    ON t.oid = l.prrelid
 WHERE l.prrelid = ANY ({tables})
 UNION
-- The rest of pg_subscription, such as the password in it, is for superusers.
SELECT 'subscription', format('%I', s.subname), t.relname
  FROM pg_subscription_rel AS l
  JOIN pg_subscription AS s
    ON s.oid = l.srsubid
  JOIN pg_class AS t
    ON t.oid = l.srrelid
 WHERE l.srrelid = ANY ({tables})
 UNION
SELECT 'publication of all tables', format('%I', b.pubname), 'this database'
  FROM pg_publication AS b
 WHERE b.puballtables
 UNION
SELECT 'publication of the schema', format('%I', b.pubname), {final_text}
  FROM pg_publication_namespace AS l
  JOIN pg_publication AS b
    ON b.oid = l.pnpubid
 WHERE l.pnnspid = to_regnamespace(quote_ident({final_text}))
 UNION
SELECT 'grant', format('%s to %s', string_agg(DISTINCT a.privilege_type, ', '),
                       CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END), t.relname
  FROM pg_class AS t
 CROSS JOIN LATERAL aclexplode(t.relacl) AS a
 WHERE t.oid = ANY ({tables})
   AND a.grantee <> t.relowner
   AND pg_get_userbyid(a.grantee) <> {role_text}
 GROUP BY t.relname, a.grantee
 ORDER BY 1, 2, 3;
