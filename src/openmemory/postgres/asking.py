"""Statements on a connection of one's own, beside the pool: their rows are values, as a transaction's are."""

from typing import TypeVar

from psycopg import Connection

from openmemory.postgres.statements import Statement

Row = TypeVar("Row")


def asked(
    connection: Connection, statement: Statement[Row], query: bytes | None = None, /, **params: object
) -> list[Row]:
    """Return every row of `statement`; `query` is its template as rendered, where that has names to fill in.

    Without `params` a % is one, with them it is doubled.
    """
    with connection.cursor(row_factory=statement.rows) as cursor:
        return cursor.execute(query or statement.template.encode(), params or None).fetchall()


def first(connection: Connection, statement: Statement[Row], /, **params: object) -> Row | None:
    """Return the first row of `statement`, or None."""
    return next(iter(asked(connection, statement, **params)), None)
