"""What tenant B has to try a service with: its own scope, every service, and A's names."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.errors import OpenMemoryError
from openmemory.postgres.database import Database
from tests.factories import NOON
from tests.tenancy.conftest import Stage
from tests.tenancy.victims import Marks


@dataclass(frozen=True)
class Attempt:
    """B's means: its own scope, every service, and the names of another tenant."""

    stage: Stage
    database: Database
    scope: Scope
    theirs: Marks

    @property
    def as_their_user(self) -> Scope:
        """Return B's scope, narrowed to the name of A's user."""
        return Scope(self.scope.tenant, self.theirs.user, self.theirs.project)


Answers = list[object]
Case = Callable[[Attempt], Awaitable[Answers]]


async def tried(call: Awaitable[object]) -> object:
    """Return the answer to a call, or as what it was refused."""
    try:
        return await call
    except OpenMemoryError as error:
        return f"{type(error).__name__}: {error.detail}"


def a_copy(theirs: Marks, memory_id: UUID | None = None) -> Told:
    """Return what A said, word for word, as B would say it under A's names."""
    return Told(
        f"{theirs.word} keeps the spare key under stone number 0",
        id=memory_id,
        user_id=theirs.user,
        project_id=theirs.project,
        session_id=theirs.session,
        speaker=theirs.speaker,
        occurred_at=NOON,
    )
