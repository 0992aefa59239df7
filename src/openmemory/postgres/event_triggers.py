"""Event triggers of the owner's, which fire on what a migration does, in sessions whose search path is ours.

That path has no schema of the owner's: a function there could be taken for one that a statement of ours means.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection, errors

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import connected
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import statement

_UNFOUND = (errors.UndefinedTable, errors.UndefinedFunction, errors.UndefinedObject, errors.InvalidSchemaName)


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """One by its name, the function that it calls, and the search path that this has in the owner's sessions.

    `name`, `function` and `path` are quoted. `has_path`: the function has one of its own in every session.
    """

    name: str
    function: str
    plain: str
    has_path: bool
    path: str

    @property
    def remedy(self) -> str:
        """What lets its function find names wherever it is called from, or has it not called."""
        with_path = f"ALTER FUNCTION {self.function} SET search_path = {self.path}"
        return f"{with_path}, unless it names them with their schemas; or {self.disable}"

    @property
    def disable(self) -> str:
        """What has it not called."""
        return f"ALTER EVENT TRIGGER {self.name} DISABLE, and ENABLE it afterwards"


_FIRING = statement("event_triggers.firing", EventTrigger)


def firing(connection: Connection) -> tuple[EventTrigger, ...]:
    """Return those that fire, and whose functions look for names in our path."""
    return tuple(one for one in asked(connection, _FIRING) if not one.has_path)


@contextmanager
def explained_triggers(
    step: str, conninfo: Mapping[str, str], after: str = "", *, makes_functions: bool = False
) -> Iterator[None]:
    """Turn an error in such a function into ConfigurationError with the way out, which ends with `after`.

    `makes_functions`: what is done makes the function itself anew, as a restore does, whatever was altered in it.
    """
    try:
        yield
    except psycopg.Error as error:
        if told := _told(error, conninfo, makes_functions=makes_functions):
            raise ConfigurationError(f"{step}: {told}{after and f'. {after}'}") from error
        raise


def _told(error: psycopg.Error, conninfo: Mapping[str, str], *, makes_functions: bool) -> str | None:
    """Return what failed in which event trigger's function, as PostgreSQL says, or None where none did."""
    context = error.diag.context or ""
    if not context:
        return None
    said = f"{first_line(error)} (SQLSTATE {error.sqlstate})"
    with suppress(psycopg.Error, DatabaseUnavailable), connected(conninfo) as connection:
        for one in asked(connection, _FIRING):
            # With its brackets, as PL/pgSQL has it, or its quotes: all else is in the server's language.
            if re.search(rf'(?<!\w){re.escape(one.plain)}(?:"?\(\)|")', context):
                way = one.disable if makes_functions else _way(one, error)
                return f"{said}, in the function {one.function} of the event trigger {one.name}. {way}"
    return None


def _way(one: EventTrigger, error: psycopg.Error) -> str:
    if isinstance(error, _UNFOUND) and not one.has_path:
        return f"Here it looks for names in another search path than in your sessions: {one.remedy}"
    return one.disable
