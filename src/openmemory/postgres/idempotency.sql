-- name: claim
-- Take a key for a request about to run; no row where another request has it. What is older than a day, or was left
-- running by a process that died, is taken over. While a request runs, `answer` is its token.
INSERT INTO {idempotency} AS i (tenant_id, credential, key, request_digest, status, answer, created_at)
VALUES (%(tenant)s, %(credential)s, %(key)s, %(digest)s, 0, %(token)s, %(now)s)
    ON CONFLICT (tenant_id, credential, key) DO UPDATE
   SET request_digest = EXCLUDED.request_digest,
       status = 0,
       answer = EXCLUDED.answer,
       created_at = EXCLUDED.created_at
 WHERE i.created_at < %(expired)s
    OR (i.status = 0 AND i.created_at < %(abandoned)s)
RETURNING status, request_digest, answer;

-- name: first
SELECT status, request_digest, answer
  FROM {idempotency}
 WHERE tenant_id = %(tenant)s
   AND credential = %(credential)s
   AND key = %(key)s;

-- name: prolong
-- A request that is still running says so, lest it be taken for one that died.
UPDATE {idempotency}
   SET created_at = %(now)s
 WHERE tenant_id = %(tenant)s
   AND credential = %(credential)s
   AND key = %(key)s
   AND status = 0
   AND answer = %(token)s;

-- name: finish
-- Part of the write's own transaction; no row where another request took the key over meanwhile.
UPDATE {idempotency}
   SET status = %(status)s,
       answer = %(answer)s
 WHERE tenant_id = %(tenant)s
   AND credential = %(credential)s
   AND key = %(key)s
   AND status = 0
   AND answer = %(token)s;

-- name: release
-- A request that failed leaves its key free for another try.
DELETE FROM {idempotency}
 WHERE tenant_id = %(tenant)s
   AND credential = %(credential)s
   AND key = %(key)s
   AND status = 0
   AND answer = %(token)s;

-- name: expire
-- A hundred a claim: too few to delay the write that follows, and more than the one row that it adds.
DELETE FROM {idempotency}
 WHERE tenant_id = %(tenant)s
   AND ctid = ANY (ARRAY(SELECT ctid
                           FROM {idempotency}
                          WHERE tenant_id = %(tenant)s
                            AND created_at < %(expired)s
                          ORDER BY created_at
                          LIMIT %(most)s
                            FOR UPDATE SKIP LOCKED));
