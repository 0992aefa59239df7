"""The sessions of servers on a database: what they call themselves, and which others may be one."""

from collections.abc import Sequence

from psycopg import Connection

from openmemory.postgres.asking import asked
from openmemory.postgres.direct import OURS as DIRECT
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade.found import Session

SERVER = "openmemory serve"
"""How the name of a server's sessions begins in PostgreSQL's list, where the settings give them no name."""
COMMAND = "openmemory command"
"""How that of a command begins that works with memories, as a server does."""
REEMBED = "openmemory-reembed"
"""What those of a re-embedding are called, whatever name the settings give."""

# What owner's tools and monitoring agents call their sessions, as patterns that heed no case.
TOOLS = "^(psql|pg_|pgadmin|dbeaver|datagrip)"
MONITORING = "datadog|grafana|prometheus|exporter|pganalyze|pgwatch|pghero|telegraf|zabbix|nagios"

_NAME_MAX_CHARS = 63

_SESSIONS = statement("servers.sessions", Session)


def session_name(kind: str, schema: str) -> str:
    """Return the name of a server's or a command's sessions on the tables of a schema, as PostgreSQL lists it.

    It cuts names at 63 characters, and has others of its own for all but ASCII.
    """
    return f"{kind} {schema}".encode("ascii", "replace").decode()[:_NAME_MAX_CHARS]


def servers(connection: Connection, names: Names, login: str | None) -> tuple[Session, ...]:
    """Return other sessions that read and write memories of these tables, or may.

    `login` is the server's by this process's settings, None where the owner serves; a server may have other settings.
    """
    ours, passing = [session_name(kind, names.schema) for kind in (SERVER, COMMAND)], [DIRECT, REEMBED]
    return tuple(
        asked(
            connection,
            _SESSIONS,
            app_role=names.app_role,
            login=login,
            ours=ours,
            passing=passing,
            tools=TOOLS,
            monitoring=MONITORING,
        )
    )


def called(sessions: Sequence[Session]) -> str:
    """Return what a message calls such sessions: by their names they are a server's, or only may be."""
    return "a server" if any(one.application.startswith(SERVER) for one in sessions) else "what may be a server"
