"""What a restore replaces, taken away first: nothing goes that the file does not bring back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import Connection, errors

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.backup.archive import Archive, is_entry_of
from openmemory.postgres.backup.tables import Table
from openmemory.postgres.statements import statement


@dataclass(frozen=True, slots=True)
class _Standing:
    kind: str
    name: str
    without: str
    again: str
    entry: str


_STANDING = statement("backup.standing", _Standing)


def drop_tables(connection: Connection, tables: Sequence[Table], archive: Archive) -> None:
    """Drop `tables`, and of what stands on them all that `archive` brings back.

    Raises ConfigurationError, with the statements that take it away, where something else stands on them.
    """
    if not tables:
        return
    standing = _standing(connection, [table.quoted for table in tables])
    if foreign := [one for one in standing if not any(is_entry_of(line, one.entry) for line in archive.contents)]:
        raise ConfigurationError(_refusal(foreign))
    _drop_in_turn(connection, [one.without for one in standing])
    # In one statement, for they refer to each other; without CASCADE, for a view may be new since the look above.
    connection.execute(f"DROP TABLE {', '.join(table.quoted for table in tables)}".encode())


def _standing(connection: Connection, tables: Sequence[str]) -> list[_Standing]:
    """Return what else stands on tables, with its names written out."""
    connection.execute("SET LOCAL search_path TO ''")
    found = asked(connection, _STANDING, tables=list(tables))
    connection.execute("SET LOCAL search_path TO DEFAULT")
    return found


def _drop_in_turn(connection: Connection, statements: Collection[str]) -> None:
    """Run the statements that drop something: those first on whose objects nothing else stands."""
    refused = [one for one in statements if not _is_dropped(connection, one)]
    if len(refused) < len(statements):
        _drop_in_turn(connection, refused)


def _is_dropped(connection: Connection, command: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(command.encode())
    except errors.DependentObjectsStillExist:
        return False
    return True


def _refusal(standing: Sequence[_Standing]) -> str:
    named = ", ".join(f"{one.kind} {one.name}" for one in standing)
    drop = " ".join(f"{one.without};" for one in standing)
    again = " ".join(f"{one.again};" for one in standing if one.again)
    return (
        f"nothing was restored: these stand on tables that it replaces, and would not come back: {named}. Keep their"
        f" definitions, run this, and restore again: {drop}"
    ) + (f" Make the foreign keys again afterwards: {again}" if again else "")
