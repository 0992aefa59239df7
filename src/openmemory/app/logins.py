"""The ways to the database: a server that the settings name, or the embedded one, started for it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openmemory.postgres import embedded
from openmemory.settings import Login, Settings

Conninfo = Mapping[str, str]
OnEvent = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Logins:
    """How to reach the database: as its owner, past any pooler, and as the one to serve with."""

    owner: Conninfo
    server: Conninfo
    server_user: str | None
    """The non-owner's name, or None where the owner serves."""
    behind_pooler: bool = True
    revive: Callable[[], None] | None = None
    """Starts the embedded server again if it has died; None for a server that is not ours."""


@contextmanager
def reached(settings: Settings, on_event: OnEvent = lambda _: None) -> Iterator[Logins]:
    """Yield the ways to the database; the embedded one is started for it and stopped after."""
    database = settings.database
    if not database.embedded:
        yield Logins(
            owner=_conninfo(database.direct_login), server=_conninfo(database.app_login), server_user=database.app_user
        )
        return
    with embedded.start(_named_folder(settings), on_event=on_event) as server:
        yield Logins(
            owner={"conninfo": server.owner_dsn()},
            server={"conninfo": server.server_dsn()},
            server_user=embedded.SERVER,
            behind_pooler=False,
            revive=server.revive,
        )


def data_folder(settings: Settings) -> Path:
    """Return where the embedded database lies, by its whole path; it is used where the settings name none."""
    return embedded.place_of(_named_folder(settings))


def _named_folder(settings: Settings) -> Path:
    return settings.database.data_dir or embedded.default_data_dir()


def _conninfo(login: Login) -> Conninfo:
    return {**({"conninfo": login.dsn} if login.dsn else {}), **login.keywords}
