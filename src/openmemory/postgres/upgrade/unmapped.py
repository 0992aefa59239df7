"""Columns of old tables that have no place of their own in the new ones: an owner's, and what upstream derived."""

from collections.abc import Iterator

from psycopg import Connection, sql

from openmemory.postgres.upgrade import places, sources
from openmemory.postgres.upgrade.found import Unmapped
from openmemory.postgres.upgrade.layout import Layout


def unmapped(connection: Connection, layout: Layout, schema: str) -> tuple[Unmapped, ...]:
    """Return the columns without a place that hold anything, of the old tables in `schema`; reads each table once."""
    found: list[Unmapped] = []
    for what, name in layout.old_tables.items():
        found += _of(connection, sql.Identifier(schema, name), what, name)
    return tuple(one for one in found if one.rows)


def _of(connection: Connection, table: sql.Identifier, what: str, name: str) -> Iterator[Unmapped]:
    columns = sources.columns_of(connection, what, table.as_string())
    noted = places.noted(what, columns)
    computed = sources.computed(connection, what, table.as_string())
    names = (*places.unmapped(what, columns), *sorted(computed))
    if names:
        counts = sql.SQL(", ").join(sql.SQL("count({})").format(sql.Identifier(column)) for column in names)
        (counted,) = connection.execute(sql.SQL("SELECT {} FROM {}").format(counts, table)).fetchall()
        for column, rows in zip(names, counted, strict=True):
            is_derived = column in places.DERIVED
            yield Unmapped(name, column, int(rows), column in noted, is_derived, computed.get(column, ""))
