"""Whether anything can be written where an old database is looked at."""

from dataclasses import dataclass

from psycopg import sql

from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade.questions import Questions

_SETTING = "default_transaction_read_only"


@dataclass(frozen=True, slots=True)
class _Writable:
    """Whether the server is a standby, whether transactions may only read, and by which setting of whom."""

    in_recovery: bool
    is_read_only: bool
    source: str
    database: str
    login: str


_WRITABLE = statement("upgrade/look.writable", _Writable)


def read_only(asking: Questions) -> str:
    """Return why nothing can be written here, and what to do about it; "" where something can."""
    found = asking.one(_WRITABLE)
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
