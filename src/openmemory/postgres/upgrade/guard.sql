-- name: guard
-- The old table stays readable and takes no writes until the exchange, not even those of a replication: whose worker
-- fires the triggers of rows that are ENABLE ALWAYS, and of those of statements only that of TRUNCATE. OR REPLACE, since
-- dropping a trigger first would wait for readers and keep others waiting behind it.
DO $guard$
BEGIN
    IF to_regclass({old_WHAT_text}) IS NOT NULL THEN
        CREATE OR REPLACE TRIGGER openmemory_upgrade_guard
            BEFORE INSERT OR UPDATE OR DELETE ON {old_WHAT_table}
            FOR EACH ROW EXECUTE FUNCTION {staging}.refuse_write();
        CREATE OR REPLACE TRIGGER openmemory_upgrade_guard_truncate
            BEFORE TRUNCATE ON {old_WHAT_table}
            FOR EACH STATEMENT EXECUTE FUNCTION {staging}.refuse_write();
        ALTER TABLE {old_WHAT_table}
            ENABLE ALWAYS TRIGGER openmemory_upgrade_guard,
            ENABLE ALWAYS TRIGGER openmemory_upgrade_guard_truncate;
    END IF;
END
$guard$;
