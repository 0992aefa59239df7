"""The database that `migrate` works on, reached and looked at."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openmemory.cli.naming import names_of
from openmemory.cli.upgrade.wanted import Old

if TYPE_CHECKING:
    from openmemory.postgres.migrate import Status
    from openmemory.settings import Settings

ASKED = "openmemory migrate"
"""The key of the context for the options before a subcommand."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `migrate` before `status`."""

    as_json: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """A database that was reached, and where it stands."""

    old: Old
    status: "Status"

    @property
    def is_half_done(self) -> bool:
        """Whether an upgrade was begun and is not over."""
        return bool(self.old.recorded) and self.old.recorded.get("step") != "done"


@contextmanager
def reached(settings: "Settings") -> Iterator[Reached]:
    """Yield the database of the settings, and where it stands."""
    from openmemory import app
    from openmemory.cli.printing import progress
    from openmemory.postgres import migrate
    from openmemory.postgres.upgrade.steps import state

    names = names_of(settings)
    with ExitStack() as left:
        with progress("opening the database") as on_event:
            logins = left.enter_context(app.reached(settings, on_event))
            found = migrate.status(logins.owner, names)
            recorded = state(logins.owner, names)
        yield Reached(Old(settings, logins, names, recorded), found)
