"""What PostgreSQL's catalogue says of our tables, to compare a lifted database with a fresh one."""

from psycopg import Connection

from openmemory.postgres.statements import Names

_COLUMNS = """
SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
       a.attgenerated, a.attstorage, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r' AND a.attnum > 0
 ORDER BY 1, 2
"""
_TABLES = """
SELECT relname, relkind, relrowsecurity, relforcerowsecurity, array_to_string(reloptions, ' '), relacl::text
  FROM pg_class
 WHERE relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'S', 'v')
 ORDER BY 1
"""
_INDEXES = """
SELECT indexname, indexdef, i.indisvalid, i.indisprimary, i.indisunique
  FROM pg_indexes x
  JOIN pg_index i ON i.indexrelid = format('%%I.%%I', x.schemaname, x.indexname)::regclass
 WHERE x.schemaname = %(schema)s
 ORDER BY 1
"""
_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, contype, convalidated, pg_get_constraintdef(oid)
  FROM pg_constraint
 WHERE connamespace = %(schema)s::regnamespace
 ORDER BY 1, 2
"""
_POLICIES = """
SELECT tablename, policyname, roles::text, cmd, qual, with_check
  FROM pg_policies
 WHERE schemaname = %(schema)s
"""
_FUNCTIONS = """
SELECT proname, pg_get_function_arguments(oid), prosrc, proacl::text
  FROM pg_proc
 WHERE pronamespace = %(schema)s::regnamespace
   AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
"""
_TYPES = """
SELECT typname, typtype
  FROM pg_type
 WHERE typnamespace = %(schema)s::regnamespace
   AND oid NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
   AND typelem NOT IN (SELECT objid FROM pg_depend WHERE deptype = 'e')
"""
_TRIGGERS = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
_OURS_ALONE = ("openmemory_upgrade", "openmemory_vector_quarantine", "openmemory_row_quarantine")


def catalogue(connection: Connection, names: Names, *others: str) -> dict[str, list[tuple[object, ...]]]:
    """Return everything of the schema but what an upgrade leaves beside the tables, and but `others`."""
    asked = {
        "columns": _COLUMNS,
        "tables": _TABLES,
        "indexes": _INDEXES,
        "constraints": _CONSTRAINTS,
        "policies": _POLICIES,
        "functions": _FUNCTIONS,
        "types": _TYPES,
        "triggers": _TRIGGERS,
    }
    beside = (*_OURS_ALONE, *others)
    said: dict[str, list[tuple[object, ...]]] = {}
    for what, query in asked.items():
        rows = connection.execute(query.encode(), {"schema": names.schema}).fetchall()
        said[what] = sorted((row for row in rows if not str(row[0]).strip('"_').startswith(beside)), key=str)
    return said
