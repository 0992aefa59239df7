-- The lengths of old vectors, and whose they are. Nothing is changed here.

-- name: memories
SELECT count(*) AS count
  FROM {old_memories_table};

-- name: vectors
-- One pass over the old vectors: bytes of a value without reading it (its length stands beside a TOAST pointer), and
-- whether its memory is there.
SELECT {bytes}::bigint AS bytes, m.id IS NOT NULL AS has_memory, count(*) AS count
  FROM {old_vectors_table} AS v
  LEFT JOIN {memory_ids} AS m
    ON {same_id}
 GROUP BY 1, 2;

-- name: without_vector
SELECT count(*) AS count
  FROM {old_memories_table} AS m
 WHERE NOT EXISTS (SELECT FROM {old_vectors_table} AS v WHERE {same_id});

-- name: not_finite
-- NaN and infinity have an exponent of ones: in the hexadecimal digits of a little-endian float32, the first bit of the
-- third byte and the last seven of the fourth. In an infinity all else but the sign is 0. Reads every byte, so only asked
-- of small tables. A vector without a memory counts as such only.
SELECT count(*) FILTER (WHERE has_nan) AS holding_nan, count(*) FILTER (WHERE NOT has_nan) AS holding_infinity
  FROM (SELECT digits ~ '^(?:.{8})*(?!000080).{4}[89a-f].[7f]f' AS has_nan
          FROM (SELECT encode({value}, 'hex') AS digits
                  FROM {old_vectors_table} AS v
                  JOIN {memory_ids} AS m
                    ON {same_id}
                 WHERE octet_length({value}) = {own_bytes}) AS own
         WHERE digits ~ '^(?:.{8})*.{4}[89a-f].[7f]f') AS odd;
