-- name: writable
-- Whether anything can be written here, and who says that nothing can.
SELECT pg_is_in_recovery() AS in_recovery,
       setting = 'on' AS is_read_only,
       source,
       current_database() AS database,
       session_user::text AS login
  FROM pg_settings
 WHERE name = 'default_transaction_read_only';
