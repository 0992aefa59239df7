-- Some of the old vectors. Nothing is changed here.

-- name: sample
-- Of each sector up to 16, from about 256 blocks that lie anywhere in the table; of no other row a value is read that
-- lies apart from it. Garbage of any length is passed over by its length.
SELECT value
  FROM (SELECT {value} AS value
          FROM (SELECT {columns}, row_number() OVER (PARTITION BY sector ORDER BY hashtext(id::text)) AS place_in_sector
                  FROM {table} TABLESAMPLE SYSTEM (least(100, 100.0 * 256 * current_setting('block_size')::int
                                                              / greatest(1, pg_relation_size({table_text}::regclass))))
                       REPEATABLE (0)
                 WHERE {some}) AS found
         WHERE place_in_sector <= 16) AS few
 WHERE octet_length(value) BETWEEN 4 AND 65536
 LIMIT 256;
