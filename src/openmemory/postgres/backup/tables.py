"""Which tables there are, and how many rows they have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import Names, schemas_of_upgrade, statement
from openmemory.postgres.upgrade.found import Dependant

# What a migration or an upgrade makes beside the tenants' tables.
_OURS = re.compile(r"openmemory_(?:meta|tenants|migrations|upgrade|\w*quarantine)")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the catalogue knows it, and what this login may see of it."""

    schema: str
    name: str
    is_hidden: bool
    may_read: bool

    @property
    def label(self) -> str:
        """Return the name as people write it."""
        return label(self.schema, self.name)

    @property
    def quoted(self) -> str:
        """Return the name as SQL, and as a pattern of pg_dump."""
        return sql.Identifier(self.schema, self.name).as_string()


_TABLES = statement("backup.tables", Table)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a restore would take away: rows of each table (None where they cannot be counted), and whole schemas.

    `dependants` are what the owner has made of tables in those.
    """

    tables: dict[str, int | None]
    schemas: tuple[str, ...]
    dependants: tuple[Dependant, ...]


def label(schema: str, name: str) -> str:
    """Return a table's name as people write it."""
    return f"{schema}.{name}"


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables of the database whose rows a dump would hold."""
    return asked(connection, _TABLES)


def is_ours(table: Table, names: Names) -> bool:
    """Return whether a table is one that OpenMemory made, in whichever version."""
    return table.schema in schemas_of_upgrade(names.schema) or (
        table.schema == names.schema and _is_our_name(table.name, names)
    )


def is_named_by_us(named: str, names: Names) -> bool:
    """Return whether a label is that of a table that OpenMemory made, in whichever version."""
    beside = (label(schema, "") for schema in schemas_of_upgrade(names.schema))
    own = label(names.schema, "")
    return named.startswith(tuple(beside)) or (named.startswith(own) and _is_our_name(named[len(own) :], names))


def _is_our_name(name: str, names: Names) -> bool:
    return name in names.tenant_tables or _OURS.fullmatch(name) is not None


def count(connection: Connection, table: Table) -> int:
    """Return how many rows a table has; an error, and no smaller number, where some are hidden from the login."""
    connection.execute("SET LOCAL row_security = off")
    try:
        row = connection.execute(f"SELECT count(*) FROM {table.quoted}".encode()).fetchone()
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(f"the rows of {table.label} cannot be counted: {first_line(error)}") from error
    return int(row[0]) if row else 0


def refuse_hidden(connection: Connection, tables: Sequence[Table]) -> None:
    """Raise ConfigurationError if a dump by this login would lack rows, or fail."""
    login = connection.info.user
    if hidden := [table.label for table in tables if table.is_hidden]:
        raise ConfigurationError(
            f"row-level security hides rows of {_few(hidden)} from the login {login}, so its backup would not be whole."
            " Ask an administrator for a role that sees all: CREATE ROLE openmemory_backup LOGIN BYPASSRLS"
            " PASSWORD '...'; GRANT pg_read_all_data TO openmemory_backup; and name it in OM_PG_DIRECT_DSN for this"
            " command only. Never make it the role that serves"
        )
    if closed := [table.label for table in tables if not table.may_read]:
        raise ConfigurationError(
            f"the login {login} may not read {_few(closed)}. Back up OpenMemory's tables only (`openmemory backup FILE"
            " --tables`, `openmemory migrate --backup FILE --backup-tables`), or ask an"
            f" administrator to run: GRANT pg_read_all_data TO {sql.Identifier(login).as_string()}"
        )


def _few(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:3])
    return shown if len(labels) <= 3 else f"{shown} and {len(labels) - 3} more"
