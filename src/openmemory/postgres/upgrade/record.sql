-- name: write
INSERT INTO {upgrade} (name, value)
VALUES (%(name)s, %(value)s)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: now
-- In UTC, whatever the session's time zone and way to write dates.
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS text;
