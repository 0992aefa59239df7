"""A stage for the proof: services and an application whose clock stands still, and tenants to set against another."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from psycopg import Connection

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Logins, Readied
from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.postgres.statements import Names
from openmemory.service.census import Census
from openmemory.service.corpora import Corpora
from openmemory.service.encoding import Encoder
from openmemory.service.idempotency import Idempotency
from openmemory.service.memories import Memories
from openmemory.service.recalls import Recalls
from openmemory.service.search import Search
from openmemory.service.shares import SearchTurns
from openmemory.service.tenants import Tenants
from openmemory.service.vocabularies import Vocabularies
from openmemory.settings import Settings
from tests.factories import NOON, a_scope
from tests.tenancy.victims import Marks, a_victim


@dataclass(frozen=True)
class Stage:
    """Every service, over one database; time stands still."""

    census: Census
    encoder: Encoder
    idempotency: Idempotency
    memories: Memories
    recalls: Recalls
    search: Search
    tenants: Tenants
    vocabularies: Vocabularies


@pytest.fixture
def stage(database: Database, names: Names, embedder: Embedder) -> Stage:
    """Return services of this test alone."""
    encoder, vocabularies, recalls = Encoder(embedder, names.dimension), Vocabularies(database), Recalls(database, noon)
    return Stage(
        census=Census(database),
        encoder=encoder,
        idempotency=Idempotency(database, noon),
        memories=Memories(database, encoder, vocabularies, noon),
        recalls=recalls,
        search=Search(database, encoder, vocabularies, recalls, noon, SearchTurns(8, 10), Corpora(1 << 30)),
        tenants=Tenants(database),
        vocabularies=vocabularies,
    )


@pytest.fixture
async def victim(stage: Stage, logins: Logins) -> Marks:
    """Return the names of tenant A, who has rows in every table."""
    return await a_victim(stage.memories, stage.idempotency, logins.owner)


@pytest.fixture(scope="session")
async def still_api(settings: Settings, ready: Readied, embedder: Embedder) -> AsyncIterator[FastAPI]:
    """Yield the HTTP application, started, its clock standing still."""
    built = application.create_app(settings, ready, embedder, noon)
    async with built.router.lifespan_context(built):
        yield built


@pytest.fixture
async def client(still_api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client on this machine."""
    transport = httpx2.ASGITransport(app=still_api, client=("127.0.0.1", 50000), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield opened


@pytest.fixture
def login(logins: Logins) -> Iterator[Connection]:
    """Yield a plain connection of the login that serves."""
    with psycopg.connect(autocommit=True, **logins.server) as connection:  # type: ignore[arg-type]  # all text
        yield connection


@pytest.fixture
def owner(logins: Logins) -> Iterator[Connection]:
    """Yield a plain connection of the owner of the tables."""
    with psycopg.connect(autocommit=True, **logins.owner) as connection:  # type: ignore[arg-type]  # all text
        yield connection


def noon() -> datetime:
    """Return the instant at which time stands still."""
    return NOON


async def an_attacker(memories: Memories) -> Scope:
    """Return the scope of a tenant with two memories of its own."""
    scope = a_scope()
    await memories.add_all(scope, [Told("Our own boat is blue", user_id="own-user"), Told("The mast is of ash")])
    return scope
