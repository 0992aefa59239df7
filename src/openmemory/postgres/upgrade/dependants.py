"""What an owner has made of the tables of OpenMemory, and what becomes of it when those go aside or away."""

from collections.abc import Collection, Mapping

from psycopg import Connection, sql

from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade.found import Dependant
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.questions import Questions

STAND_ON_IT: Collection[str] = (
    "view", "materialized view", "function", "procedure", "aggregate", "column", "type", "operator", "cast", "object",
    "foreign key",
)  # fmt: skip
"""The kinds that PostgreSQL drops no table under, unless they are dropped as well."""
_WAYS_OUT = {
    "parent": "ALTER TABLE {table} NO INHERIT {parent}",
    "partitioned table": "ALTER TABLE {parent} DETACH PARTITION {table}",
}

_DEPENDANTS = statement("upgrade/dependants.dependants", Dependant)


def dependants(connection: Connection, layout: Layout, schema: str) -> tuple[Dependant, ...]:
    """Return what others have made of OpenMemory's tables in `schema`: the owner's, or the one that keeps old ones."""
    tables = [Layout.literal(sql.Identifier(schema, table).as_string()) for table in layout.old_tables.values()]
    more: Mapping[str, str] = {
        "tables": f"array_remove(ARRAY[{', '.join(f'to_regclass({table})' for table in tables)}]::oid[], NULL)",
    }
    return tuple(Questions(connection, layout).all(_DEPENDANTS, **more))


def ways_out(found: Collection[Dependant], schema: str) -> tuple[str, ...]:
    """Return the statements that take the tables of `schema` out of those that show their rows as their own."""
    return tuple(
        _WAYS_OUT[one.kind].format(table=sql.Identifier(schema, one.of_table).as_string(), parent=one.name)
        for one in found
        if one.kind in _WAYS_OUT
    )


def listed(found: Collection[Dependant]) -> str:
    """Return dependants as an error names them."""
    return "; ".join(f"{one.kind} {one.name}" for one in found)
