-- name: visible
-- Every row there is, for whoever asks: without a condition, so that only row-level security decides what is counted.
SELECT count(*) AS count
  FROM {memories};

-- name: of_scope
SELECT count(*) AS count
  FROM {memories}
 WHERE tenant_id = %(tenant)s
   AND (%(user)s::text IS NULL OR user_id = %(user)s)
   AND (%(project)s::text IS NULL OR project_id = %(project)s);

-- name: sizes
-- Bytes of the tenant's texts, and of what search keeps of them beside the texts.
SELECT (SELECT coalesce(sum(octet_length(content)), 0)
          FROM {memories}
         WHERE tenant_id = %(tenant)s)::int8 AS content_bytes,
       (SELECT coalesce(sum(coalesce(pg_column_size(embedding), 0) + coalesce(pg_column_size(code), 0)
                            + pg_column_size(terms)), 0)
          FROM {vectors}
         WHERE tenant_id = %(tenant)s)::int8 AS search_bytes;
