-- name: guard
-- The old table stays readable and takes no writes until the exchange, not even those of a replication. OR REPLACE, since
-- dropping a trigger first would wait for readers and keep others waiting behind it.
DO $guard$
BEGIN
    IF to_regclass({old_WHAT_text}) IS NOT NULL THEN
        CREATE OR REPLACE TRIGGER openmemory_upgrade_guard
            BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {old_WHAT_table}
            FOR EACH STATEMENT EXECUTE FUNCTION {staging}.refuse_write();
        ALTER TABLE {old_WHAT_table} ENABLE ALWAYS TRIGGER openmemory_upgrade_guard;
    END IF;
END
$guard$;
