-- name: guard
-- The old table stays readable and takes no writes until the exchange.
DO $guard$
BEGIN
    IF to_regclass({old_WHAT_text}) IS NOT NULL THEN
        DROP TRIGGER IF EXISTS openmemory_upgrade_guard ON {old_WHAT_table};
        CREATE TRIGGER openmemory_upgrade_guard
            BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {old_WHAT_table}
            FOR EACH STATEMENT EXECUTE FUNCTION {staging}.refuse_write();
    END IF;
END
$guard$;
