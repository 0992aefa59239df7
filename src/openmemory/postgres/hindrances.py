"""What a server does not let this login do by its settings, and what is to be done about it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import statement

_SETTING = "default_transaction_read_only"
_LIMIT = "temp_file_limit"


@dataclass(frozen=True, slots=True)
class _Writable:
    """Whether the server is a standby, whether transactions may only read, and by which setting of whom."""

    in_recovery: bool
    is_read_only: bool
    source: str
    database: str
    login: str


_WRITABLE = statement("hindrances.writable", _Writable)


@contextmanager
def hindrances_told(connection: Connection) -> Iterator[None]:
    """Turn PostgreSQL's refusal to write, or to write more temporary files, into ConfigurationError with the remedy."""
    try:
        yield
    except (errors.ReadOnlySqlTransaction, errors.ConfigurationLimitExceeded) as error:
        raise ConfigurationError(hindrance(connection, error)) from error


def hindrance(connection: Connection, error: psycopg.Error) -> str:
    """Return what was refused and, where its settings say, what to do about it; asks on `connection`, of this login."""
    said = first_line(error)
    if isinstance(error, errors.ReadOnlySqlTransaction):
        with suppress(psycopg.Error):
            return f"{said}: {read_only(connection) or 'this transaction may only read'}"
    if _LIMIT in said:
        login, database = (sql.Identifier(name).as_string() for name in (connection.info.user, connection.info.dbname))
        return f"{said}. Ask an administrator to run: ALTER ROLE {login} IN DATABASE {database} SET {_LIMIT} = -1"
    hint = f". {error.diag.message_hint.rstrip('.')}" if error.diag.message_hint else ""
    return f"{said} (SQLSTATE {error.sqlstate}){hint}"


def read_only(connection: Connection) -> str:
    """Return why nothing can be written here, and what to do about it; "" where something can."""
    (found,) = asked(connection, _WRITABLE)
    if found.in_recovery:
        return "this server is a standby, which takes no writes until it is promoted: name the primary in the settings"
    return f"{_SETTING} is on, so that nothing can be written: {_remedy(found)}" if found.is_read_only else ""


def _remedy(found: _Writable) -> str:
    database, login = (sql.Identifier(name).as_string() for name in (found.database, found.login))
    match found.source:
        case "user":
            return f"ALTER ROLE {login} RESET {_SETTING}"
        case "database user":
            return f"ALTER ROLE {login} IN DATABASE {database} RESET {_SETTING}"
        case "client":
            return "leave it out of the connection string and of PGOPTIONS"
    return f"ALTER DATABASE {database} SET {_SETTING} = off"
