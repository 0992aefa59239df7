"""Open the database for a command: as the process's owner, on a running PostgreSQL or on one of its own."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, contextmanager
from typing import Any, TypeVar

from openmemory import app
from openmemory.adapters.embedders import Embedder
from openmemory.cli.printing import note, progress, warn
from openmemory.core.scope import Scope
from openmemory.postgres.servers import COMMAND
from openmemory.server.calling import Services
from openmemory.service.census import Census
from openmemory.settings import Settings

Result = TypeVar("Result")


class Session:
    """The services, and an event loop that runs only while a piece of work does.

    Between two pieces a command may ask the person at the terminal something, and Ctrl-C ends it there at once.
    """

    def __init__(self, settings: Settings, ready: app.Readied, embedder: Embedder, left: ExitStack) -> None:
        self.settings = settings
        self.ready = ready
        self._runner = left.enter_context(asyncio.Runner())
        self._opened = AsyncExitStack()
        left.callback(lambda: self.run(self._opened.aclose()))
        database = self._enter(app.database_of(settings, ready, embedder, COMMAND))
        self.services: Services = self._enter(app.services_over(database, settings, embedder))
        self.census = Census(database)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns."""
        return self._runner.run(work)

    def _enter(self, manager: AbstractAsyncContextManager[Result]) -> Result:
        async def entered() -> Result:
            return await self._opened.enter_async_context(manager)

        return self.run(entered())


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """Yield a session on a database that was made ready.

    Processes share the embedded PostgreSQL: the first of them starts it, and the last to leave stops it.
    """
    with ExitStack() as left:
        with progress("opening the database") as on_event:
            logins = left.enter_context(app.reached(settings, on_event))
            embedder = app.create_embedder(settings, on_event)
            ready = app.make_ready(settings, logins, embedder, on_event)
            opened = Session(settings, ready, embedder, left)
        for warning in ready.warnings:
            warn(warning)
        yield opened


def note_unknown(opened: Session, scope: Scope) -> None:
    """Say on standard error if nobody has ever worked as this tenant, which otherwise looks like an empty one."""
    if not opened.run(opened.services.tenants.is_known(scope.tenant)):
        note(f"tenant {scope.tenant} is not known in this database: is the name right (--tenant, OM_TENANT)?")
