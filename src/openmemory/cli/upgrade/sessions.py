"""Refuse to lift an old database while others seem to write to it, or have written."""

from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import TYPE_CHECKING

from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.cli.upgrade.wanted import Old
    from openmemory.postgres.statements import Names
    from openmemory.postgres.upgrade.found import Found, Session

# PostgreSQL's sessions report what they wrote at most once a second.
_WATCHED_S = 1.5
# Sessions that this command has closed itself, under whatever name the settings give them, are gone by then.
_GONE_S = 0.5


def refuse_writers(writers: "Sequence[Session]", ignore_sessions: bool) -> None:
    """Raise ConfigurationError where sessions of others look like an old server's."""
    from openmemory.cli.upgrade.report import told

    if writers and not ignore_sessions:
        raise ConfigurationError(
            f"an old server still writes to this database, or may: {told(writers)}. Nothing was changed. Stop it,"
            " and run this again. Where those are no server's, such as a script's last COMMIT, or one without a"
            " name that reads: --ignore-sessions"
        )


def doubt(found: "Found") -> str:
    """Return a warning of sessions that may or may not be an old server's, or "" if there are none."""
    from openmemory.cli.upgrade.report import told

    if not found.doubtful:
        return ""
    return f"An old server must be stopped, and by what they last did these may be one's: {told(found.doubtful)}."


def refuse_servers(old: "Old", ignore_sessions: bool) -> None:
    """Raise ConfigurationError where a server is connected that would find its tables gone."""
    from openmemory.cli.upgrade.report import told
    from openmemory.postgres.servers import called
    from openmemory.postgres.upgrade.standing import refuse_beside, serving

    refuse_beside(old.logins.owner, old.names)
    if ignore_sessions:
        return
    sessions = serving(old.logins.owner, old.names, old.logins.server_user)
    if sessions:
        sleep(_GONE_S)
        sessions = serving(old.logins.owner, old.names, old.logins.server_user)
    if sessions:
        raise ConfigurationError(
            f"{called(sessions)} is connected, and would find the new tables gone: {told(sessions)}. Nothing was"
            " changed. Stop it, and run this again. Where those are no server's: --ignore-sessions"
        )


def refuse_writes(owner: Mapping[str, str], names: "Names", found: "Found", begun_s: float) -> None:
    """Raise ConfigurationError where rows were written to the old tables since they were looked at.

    Waits until the sessions of others must have reported their writes.
    """
    from openmemory.cli.upgrade.report import told
    from openmemory.postgres.upgrade.look import written
    from openmemory.postgres.upgrade.standing import refuse_beside

    if found.others:
        sleep(max(0.0, begun_s + _WATCHED_S - monotonic()))
    more = written(owner, names) - found.written
    if more > 0:
        refuse_beside(owner, names)
        who = f", by one of: {told(found.others)}" if found.others else ""
        raise ConfigurationError(
            f"{more:,} rows of the old tables were written while this looked at them{who}. Nothing was changed. Stop"
            " the old server, or let another `openmemory migrate` finish, and run this again"
        )
