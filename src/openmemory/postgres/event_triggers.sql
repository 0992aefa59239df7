-- name: firing
-- Event triggers of the owner's that fire when tables are made, moved or dropped, the functions that they call, and the
-- path in which those look for names in the owner's sessions, where they have none of their own.
SELECT format('%I', e.evtname) AS name,
       format('%I.%I()', n.nspname, p.proname) AS function,
       p.proname::text AS plain,
       EXISTS (SELECT FROM unnest(p.proconfig) AS set (setting) WHERE set.setting LIKE 'search\_path=%') AS has_path,
       (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'search_path') AS path
  FROM pg_event_trigger e
  JOIN pg_proc p
    ON p.oid = e.evtfoid
  JOIN pg_namespace n
    ON n.oid = p.pronamespace
  JOIN pg_language l
    ON l.oid = p.prolang
 WHERE e.evtenabled IN ('O', 'A')
   AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
   AND (e.evttags IS NULL
        OR EXISTS (SELECT
                     FROM unnest(e.evttags) AS of (tag)
                    WHERE of.tag ~ ' (SCHEMA|TABLE|TABLE AS|INDEX|VIEW|FUNCTION|PROCEDURE|TYPE|SEQUENCE|TRIGGER|POLICY)$'
                       OR of.tag IN ('GRANT', 'REVOKE', 'COMMENT')))
   AND l.lanname NOT IN ('c', 'internal')
   AND NOT EXISTS (SELECT
                     FROM pg_depend d
                    WHERE d.classid = 'pg_event_trigger'::regclass
                      AND d.objid = e.oid
                      AND d.deptype = 'e')
 ORDER BY e.evtname;
