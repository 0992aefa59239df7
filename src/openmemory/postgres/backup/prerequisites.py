"""Make the extension, the type and the function that a backup of the tables alone does not bring."""

import re
from dataclasses import dataclass

from psycopg import Connection, sql

from openmemory.postgres.asking import asked
from openmemory.postgres.direct import extension_schema
from openmemory.postgres.migrate import shipped, statements_of
from openmemory.postgres.statements import Names, statement

_MADE = re.compile(r"CREATE (?:OR REPLACE )?(?:TYPE|FUNCTION) \{(textrange|faded)\}")


@dataclass(frozen=True, slots=True)
class _There:
    name: str


_THERE = statement("backup.there", _There)


def make_missing(connection: Connection, names: Names) -> None:
    """Make those of the extension, the type and the function of the migrations that are missing."""
    if extension_schema(connection) is None:
        connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(names.schema)))
        connection.execute("CREATE EXTENSION vector")
    there = {one.name for one in asked(connection, _THERE, schema=names.schema)}
    for migration in shipped():
        for part in statements_of(migration.template):
            made = _MADE.match(part)
            if made and f"openmemory_{made[1]}" not in there:
                connection.execute(names.render(part).encode())
