"""Services of a test alone, on a clock that the test moves; nothing runs in the background."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from openmemory.adapters.embedders import Embedder
from openmemory.core.scope import Scope
from openmemory.postgres import vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.statements import Names
from openmemory.postgres.vectors import Rows
from openmemory.service.corpora import Corpora
from openmemory.service.encoding import Encoder
from openmemory.service.memories import Memories
from openmemory.service.recalls import Recalls
from openmemory.service.search import Search
from openmemory.service.shares import SearchTurns
from openmemory.service.vocabularies import Vocabularies
from tests.factories import NOON, a_scope


@dataclass
class HandClock:
    """A clock that goes only when told."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        """Return the time it shows."""
        return self.now

    def advance(self, **parts: float) -> None:
        """Let time pass."""
        self.now += timedelta(**parts)


@dataclass(frozen=True)
class Rooms:
    """The services, and their clock."""

    memories: Memories
    search: Search
    recalls: Recalls
    clock: HandClock = field(default_factory=HandClock)


def rooms_on(database: Database, embedder: Embedder, names: Names, corpora: Corpora | None = None) -> Rooms:
    """Return services over a database; unless other `corpora` are given, search has room for all."""
    clock = HandClock()
    encoder, vocabularies, recalls = (
        Encoder(embedder, names.dimension),
        Vocabularies(database),
        Recalls(database, clock),
    )
    return Rooms(
        Memories(database, encoder, vocabularies, clock),
        Search(database, encoder, vocabularies, recalls, clock, SearchTurns(8, 10), corpora or Corpora(1 << 30)),
        recalls,
        clock,
    )


@pytest.fixture
def rooms(database: Database, embedder: Embedder, names: Names) -> Rooms:
    """Return services of this test."""
    return rooms_on(database, embedder, names)


@pytest.fixture(scope="session")
def still_rooms(database: Database, embedder: Embedder, names: Names) -> Rooms:
    """Return services whose clock nobody moves, for properties that are tried many times."""
    return rooms_on(database, embedder, names)


@pytest.fixture
def memories(rooms: Rooms) -> Memories:
    """Return what can be done with memories."""
    return rooms.memories


@pytest.fixture
def clock(rooms: Rooms) -> HandClock:
    """Return the clock of the services."""
    return rooms.clock


@pytest.fixture
def scope() -> Scope:
    """Return the scope of a fresh tenant."""
    return a_scope()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Return what is read from PostgreSQL during the test: for each reading the place it began after, None for all."""
    begun: list[int | None] = []
    rows = vectors.rows

    async def noted(tx: TenantTx, *, shared: bool = False, after: int | None = None) -> Rows:
        begun.append(after)
        return await rows(tx, shared=shared, after=after)

    monkeypatch.setattr(vectors, "rows", noted)
    return begun
