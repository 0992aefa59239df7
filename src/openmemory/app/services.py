"""The services over a pool of connections, with their upkeep running."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from openmemory.adapters.embedders import Embedder, OpenAIEmbedder, StaticEmbedder
from openmemory.app.readiness import Readied
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.servers import SERVER, session_name
from openmemory.server.calling import Services
from openmemory.service.clock import Clock, system_clock
from openmemory.service.compatibility import check_facts, facts_of
from openmemory.service.corpora import Corpora
from openmemory.service.encoding import Encoder
from openmemory.service.idempotency import Idempotency
from openmemory.service.memories import Memories
from openmemory.service.recalls import Recalls
from openmemory.service.search import Search
from openmemory.service.shares import SearchTurns, Shares
from openmemory.service.tenants import Tenants
from openmemory.service.upkeep import forget_keys, keep_alive
from openmemory.service.vocabularies import Vocabularies
from openmemory.settings import Settings


def database_of(settings: Settings, ready: Readied, embedder: Embedder, called: str = SERVER) -> Database:
    """Return the database as the server's login reaches it; `async with` opens its pool.

    Its sessions are `called` so in PostgreSQL's list, where the settings give them no name.
    """
    database = settings.database

    def check(recorded: Mapping[str, str]) -> None:
        check_facts(recorded, facts_of(ready.names, embedder))

    return Database(
        {"fallback_application_name": session_name(called, ready.names.schema), **ready.logins.server},
        ready.names,
        PoolLimits(database.pool_max, database.pool_idle_s, database.connect_timeout_s),
        settings.limits.statement_timeout_ms,
        behind_pooler=ready.logins.behind_pooler,
        check_facts=check,
    )


@asynccontextmanager
async def open_services(
    settings: Settings,
    ready: Readied,
    embedder: Embedder,
    clock: Clock = system_clock,
    revive: Callable[[], None] | None = None,
) -> AsyncIterator[Services]:
    """Yield the services over a pool of their own; `revive` is called when the database is away."""
    async with (
        database_of(settings, ready, embedder) as database,
        services_over(database, settings, embedder, clock, revive) as services,
    ):
        yield services


@asynccontextmanager
async def services_over(
    database: Database,
    settings: Settings,
    embedder: Embedder,
    clock: Clock = system_clock,
    revive: Callable[[], None] | None = None,
) -> AsyncIterator[Services]:
    """Yield the services over an open database, with their upkeep running; the embedder is closed after."""
    if isinstance(embedder, StaticEmbedder):
        embedder.load()  # or the first request would wait for it
    recalls = Recalls(database, clock)
    services = _services(database, settings, embedder, recalls, clock)
    upkeep = [asyncio.create_task(recalls.run()), asyncio.create_task(forget_keys(services.idempotency))]
    if revive is not None:
        upkeep.append(asyncio.create_task(keep_alive(services.tenants, revive)))
    try:
        yield services
    finally:
        for task in upkeep:
            task.cancel()
        await asyncio.gather(*upkeep, return_exceptions=True)  # the last recalls are written before the pool closes
        if isinstance(embedder, OpenAIEmbedder):
            await embedder.aclose()


def _services(database: Database, settings: Settings, embedder: Embedder, recalls: Recalls, clock: Clock) -> Services:
    limits = settings.limits
    wait_s = limits.tenant_wait_ms / 1000
    names = database.names
    encoder = Encoder(embedder, names.dimension, as_half=names.vector_type == "halfvec")
    vocabularies = Vocabularies(database)
    turns = SearchTurns(_searches_at_once(settings), wait_s)
    return Services(
        memories=Memories(database, encoder, vocabularies, clock),
        search=Search(database, encoder, vocabularies, recalls, clock, turns, Corpora(limits.search_cache_bytes)),
        tenants=Tenants(database, create_on_first_use=settings.access.auto_create_tenants),
        idempotency=Idempotency(database, clock),
        shares=Shares(limits.tenant_concurrency, wait_s),
        clock=clock,
    )


def _searches_at_once(settings: Settings) -> int:
    """Return four more than the processors where PostgreSQL runs on this machine; a fifth of the pool is for writes."""
    most = settings.database.pool_max
    for_reading = max(1, most - max(1, most // 5))
    return min(for_reading, (os.cpu_count() or 1) + 4) if settings.database.embedded else for_reading
