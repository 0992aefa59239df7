"""Starting, sharing and stopping the embedded server."""

import atexit
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.pq import Conninfo

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded.cluster import OWNER, SERVER, Passwords, dsn, read_passwords
from openmemory.postgres.embedded.engine import Engine
from openmemory.postgres.embedded.folder import DataFolder, forget_socket_folder, open_folder, refusals
from openmemory.postgres.embedded.locks import FileLock, Patience
from openmemory.postgres.embedded.postmaster import bring_up, shut_down

_STOP_S = 120.0


def _say_nothing(_event: str) -> None:
    """Ignore an event."""


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server that this process uses, perhaps with others; `start` makes it."""

    data_dir: Path
    socket_dir: Path
    _folder: DataFolder = field(repr=False)
    _passwords: Passwords = field(repr=False)
    _users: FileLock = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def owner_dsn(self) -> str:
        """Return the connection string of the superuser, who owns the tables: for migrations only."""
        return dsn(self.socket_dir, OWNER, self._passwords.owner)

    def server_dsn(self) -> str:
        """Return the connection string of the role to serve with: it owns nothing and cannot bypass RLS."""
        return dsn(self.socket_dir, SERVER, self._passwords.server)

    def revive(self) -> None:
        """Start PostgreSQL again if it has died while we use it; does nothing while it lives."""
        patience = Patience(_STOP_S, self._folder.log)
        with refusals(self.data_dir), _starting(self._folder, patience, _say_nothing):
            if not self._users.is_closed:
                bring_up(self._folder, patience, _say_nothing, None)

    def stop(self) -> None:
        """Leave the server; the last one to leave shuts it down. Doing it twice does no harm."""
        if self._users.is_closed:
            return
        with refusals(self.data_dir), _starting(self._folder, Patience(_STOP_S, self._folder.log), _say_nothing):
            _leave(self._folder, self._users)
        atexit.unregister(self.stop)


def start(
    data_dir: Path,
    *,
    start_timeout_s: float = 120.0,
    on_event: Callable[[str], None] = _say_nothing,
    engine: Engine | None = None,
) -> EmbeddedServer:
    """Return the server of `data_dir`, started unless another process has done so, once it lets us in.

    Waits for as long as PostgreSQL has something to say, and gives up when it has been silent for `start_timeout_s`.
    `on_event` hears what is being done; `engine` replaces the programs of the wheel. Raises ConfigurationError, with
    the path and the way out, when the folder cannot be used or PostgreSQL does not come up. What
    the environment tells libpq of another server (PGSERVICE, PGHOSTADDR, PGCHANNELBINDING, …) is taken out of it.
    """
    for option in Conninfo.get_defaults():
        if option.envvar:
            os.environ.pop(option.envvar.decode(), None)
    if sys.platform == "win32":
        raise ConfigurationError("the embedded PostgreSQL does not run on Windows: set OM_PG_DSN, or use WSL")
    with refusals(data_dir):
        folder = open_folder(data_dir)
        patience = Patience(start_timeout_s, folder.log)
        with _starting(folder, patience, on_event):
            users = FileLock(folder.users, folder.account)
            try:
                users.try_shared()
                socket_dir = bring_up(folder, patience, on_event, engine)
                server = EmbeddedServer(folder.path, socket_dir, folder, read_passwords(folder), users)
                # A signal may come between any two instructions, also before the caller's `with` has begun.
                atexit.register(server.stop)
                return server
            except KeyboardInterrupt:
                _leave(folder, users)
                raise
            except BaseException:
                users.close()
                raise


def _leave(folder: DataFolder, users: FileLock) -> None:
    """Shut the server down if nobody else uses it; the caller holds the lock for starting."""
    try:
        if users.try_exclusive() and shut_down(folder):
            forget_socket_folder(folder)
    finally:
        users.close()


@contextmanager
def _starting(folder: DataFolder, patience: Patience, on_event: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock for starting and stopping, waiting for whoever has it."""
    with FileLock(folder.starting, folder.account) as lock:
        if not lock.try_exclusive():
            on_event("waiting for another process that is starting or stopping PostgreSQL")
            while not lock.try_exclusive():
                if not patience.wait():
                    raise ConfigurationError(
                        f"another process has held {folder.starting} for {patience.seconds:g} s. "
                        "See what it waits for, or end it."
                    )
        yield
