-- name: columns
-- The types of a table's columns, of a domain that at its end; one of an owner's own with parts is a record. format_type()
-- puts the schema before a type that the session does not see; pgvector's typmod is the dimension. Of a column that
-- PostgreSQL computes the expression stands beside it, of others "".
WITH RECURSIVE typed AS (
    SELECT attname, atttypid AS type, atttypmod AS typmod, attrelid, attnum, attgenerated
      FROM pg_attribute
     WHERE attrelid = to_regclass(%(table)s)
       AND attnum > 0
       AND NOT attisdropped
     UNION ALL
    SELECT d.attname, t.typbasetype, t.typtypmod, d.attrelid, d.attnum, d.attgenerated
      FROM typed d
      JOIN pg_type t
        ON t.oid = d.type
       AND t.typtype = 'd'
)
SELECT d.attname AS name,
       CASE WHEN t.typname IN ('vector', 'halfvec')
            THEN concat(t.typname, '(' || nullif(d.typmod, -1) || ')')
            WHEN t.typtype = 'c'
            THEN 'record'
            WHEN e.typtype IN ('c', 'd')
            THEN 'record[]'
            ELSE format_type(d.type, d.typmod)
       END AS type,
       CASE WHEN d.attgenerated = ''
            THEN ''
            ELSE (SELECT pg_get_expr(g.adbin, g.adrelid)
                    FROM pg_attrdef g
                   WHERE g.adrelid = d.attrelid
                     AND g.adnum = d.attnum)
       END AS expression
  FROM typed d
  JOIN pg_type t
    ON t.oid = d.type
   AND t.typtype <> 'd'
  LEFT JOIN pg_type e
    ON e.oid = t.typelem
   AND t.typcategory = 'A';
