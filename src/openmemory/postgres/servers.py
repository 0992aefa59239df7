"""The sessions of servers on a database: what they call themselves, and which others may be one."""

from collections.abc import Sequence

from psycopg import Connection

from openmemory.postgres.asking import asked
from openmemory.postgres.direct import OURS as DIRECT
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade.found import Session

SERVER = "openmemory serve"
"""What the sessions of a server are called in PostgreSQL's list, where the settings give them no name."""
COMMAND = "openmemory command"
"""What those of a command are called that works with memories, as a server does."""
REEMBED = "openmemory-reembed"
"""What those of a re-embedding are called, whatever name the settings give."""
OURS = (SERVER, COMMAND, REEMBED, DIRECT)
"""All names that sessions of this version have by themselves."""

_SESSIONS = statement("servers.sessions", Session)


def servers(connection: Connection, app_role: str, login: str | None) -> tuple[Session, ...]:
    """Return other sessions that read and write memories, or may.

    `login` is the server's by this process's settings, None where the owner serves; a server may have other settings.
    """
    ours, passing = [SERVER, COMMAND], [DIRECT, REEMBED]
    return tuple(asked(connection, _SESSIONS, app_role=app_role, login=login, ours=ours, passing=passing))


def called(sessions: Sequence[Session]) -> str:
    """Return what a message calls such sessions: by their names they are a server's, or only may be."""
    return "a server" if any(one.application == SERVER for one in sessions) else "what may be a server"
