"""The sessions of other clients on an old database: which are likely an old server's, and which may be."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openmemory.postgres.servers import MONITORING, TOOLS
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade.found import Session
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.questions import Count, Questions

# Tables that stay as they are, and that nobody but upstream's server writes to.
_UPSTREAMS_OWN = ("openmemory_embed_logs", "stats", "temporal_edges")


@dataclass(frozen=True, slots=True)
class Clients:
    """Sessions of other clients, by the use they may make of the old tables."""

    writers: tuple[Session, ...] = ()
    """Sessions that write to the old tables, or are likely an old server's by what they last did."""
    doubtful: tuple[Session, ...] = ()
    """Sessions that may be an old server's, or not."""


@dataclass(frozen=True, slots=True)
class _Client:
    """A session that may be an old server's, and whether it likely is."""

    pid: int
    application: str
    address: str
    user: str
    state: str
    is_likely: bool

    @property
    def session(self) -> Session:
        return Session(self.pid, self.application, self.address, self.user, self.state)


_SESSIONS = statement("upgrade/clients.sessions", _Client)
_HIDDEN = statement("upgrade/clients.hidden", Count)
_OTHERS = statement("upgrade/clients.others", Session)


def clients_of(asking: Questions, there: Sequence[str]) -> Clients:
    """Return whose sessions are likely an old server's that uses the tables that are `there`, and whose may be."""
    if not there:
        return Clients()
    schema = asking.layout.names.schema
    found = asking.all(
        _SESSIONS,
        writes=Layout.literal(_writes(schema, (*there, *_UPSTREAMS_OWN))),
        names=Layout.literal(rf"(^|\W)({'|'.join(map(re.escape, there))})(\W|$)"),
        also_names=Layout.literal(_uses(schema, _UPSTREAMS_OWN)),
        tools=Layout.literal(TOOLS),
        monitoring=Layout.literal(MONITORING),
    )
    return Clients(
        writers=tuple(one.session for one in found if one.is_likely),
        doubtful=tuple(one.session for one in found if not one.is_likely),
    )


def others(asking: Questions) -> tuple[Session, ...]:
    """Return other clients' sessions, whatever they do."""
    return tuple(asking.all(_OTHERS))


def hidden(asking: Questions) -> int:
    """Return how many sessions there are whose statements this login may not see."""
    return asking.one(_HIDDEN).count


def _writes(schema: str, tables: Iterable[str]) -> str:
    """Return the pattern of statements that write to one of these tables."""
    named = _named(schema, tables)
    verbs = (
        r"insert\s+into|update(\s+only)?|delete\s+from(\s+only)?|merge\s+into|truncate(\s+table)?"
        r"|alter\s+table(\s+if\s+exists)?(\s+only)?"
    )
    return rf'\m({verbs})\s+{named}|\mcopy\s+{named}"?\s*(\([^)]*\))?\s*from\M'


def _uses(schema: str, tables: Iterable[str]) -> str:
    """Return the pattern of statements in which these names, which others may bear, are those of tables."""
    named = _named(schema, tables)
    return rf'\m(from|join|only|table|exists)\s+{named}|\mon\s+(only\s+)?{named}"?\s*(\(|using\M)'


def _named(schema: str, tables: Iterable[str]) -> str:
    return rf'("?{re.escape(schema)}"?\.)?"?({"|".join(map(re.escape, tables))})\M'
