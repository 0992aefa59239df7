"""Columns of old tables that have no place of their own in the new ones: an owner's, and what upstream derived."""

from collections.abc import Iterator

from psycopg import Connection, sql

from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.found import Unmapped
from openmemory.postgres.upgrade.layout import Layout


def unmapped(connection: Connection, layout: Layout, schema: str) -> tuple[Unmapped, ...]:
    """Return the columns without a place that hold anything, of the old tables in `schema`; reads each table once."""
    found: list[Unmapped] = []
    for what, name in layout.old_tables.items():
        found += _of(connection, sql.Identifier(schema, name), what, name)
    return tuple(one for one in found if one.rows)


def _of(connection: Connection, table: sql.Identifier, what: str, name: str) -> Iterator[Unmapped]:
    columns = sources.columns_of(connection, table.as_string())
    names, noted = sources.unmapped(what, columns), sources.noted(what, columns)
    if names:
        counts = sql.SQL(", ").join(sql.SQL("count({})").format(sql.Identifier(column)) for column in names)
        (counted,) = connection.execute(sql.SQL("SELECT {} FROM {}").format(counts, table)).fetchall()
        for column, rows in zip(names, counted, strict=True):
            yield Unmapped(name, column, int(rows), column in noted, column in sources.DERIVED)
