"""What dumps are made with, and what a database holds before and after."""

import hashlib

import psycopg
from psycopg import sql

from tests.postgres.databases import Place
from tests.upgrade.old_databases import program

# The programs of the wheel, so that a system's do not matter.
NEW = program("pg_dump")


def run(place: Place, *statements: str) -> None:
    """Run SQL as the owner."""
    with place.owner() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def count(place: Place, table: str) -> int:
    """Return how many rows a table has."""
    with place.owner() as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


def tables_of(place: Place) -> set[str]:
    """Return the names of the tables, with their schemas."""
    query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^information'"
    with place.owner() as connection:
        return {str(name) for (name,) in connection.execute(query)}


def vectors_of(place: Place) -> dict[tuple[str, str], str]:
    """Return the checksum of each old vector."""
    with place.owner() as connection:
        cursor: psycopg.Cursor[tuple[str, str, bytes]] = connection.cursor(binary=True)
        found = cursor.execute("SELECT id::text, sector, v FROM openmemory_vectors").fetchall()
    return {(id_, sector): hashlib.sha256(v).hexdigest() for id_, sector, v in found}
