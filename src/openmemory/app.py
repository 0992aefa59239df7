"""Everything built once from the settings: the database made ready, the services, the HTTP application."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI

from openmemory.adapters.embedders import (
    Embedder,
    HashEmbedder,
    NoEmbedder,
    OpenAIEmbedder,
    StaticEmbedder,
    asked_dimension,
)
from openmemory.errors import ConfigurationError
from openmemory.postgres import embedded, migrate, registry, roles
from openmemory.postgres.database import Database
from openmemory.postgres.direct import in_turn
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.look import elsewhere
from openmemory.postgres.upgrade.standing import refuse_half_done
from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.calling import Services
from openmemory.server.limits import Limits
from openmemory.server.status_calls import About
from openmemory.service.census import Census
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


@dataclass(frozen=True, slots=True)
class Readied:
    """A database that may be served, and what the operator should know about it."""

    logins: Logins
    names: Names
    warnings: tuple[str, ...] = ()


def create_embedder(settings: Settings, on_event: OnEvent = lambda _: None, *, patience_s: float = 30) -> Embedder:
    """Return the embedder that the settings choose; raises EmbedderUnavailable where its server is asked in vain."""
    chosen, dimension = settings.embeddings, settings.vectors.dim
    match chosen.embedder:
        case "static":
            return StaticEmbedder()
        case "hash":
            return HashEmbedder(dimension or 256)
        case "none":
            return NoEmbedder()
        case "openai":
            key = chosen.openai_api_key.get_secret_value() if chosen.openai_api_key else None
            address, model = chosen.base_url, chosen.model or ""
            if dimension is None:
                on_event("asking the embedding server how long its vectors are")
                dimension = asyncio.run(asked_dimension(address, key, model))
            return OpenAIEmbedder(address, key, model, dimension, patience_s=patience_s)


def names(settings: Settings, embedder: Embedder) -> Names:
    """Return the tables' names and the vectors' size; raises ConfigurationError if the size is another's."""
    wanted, own = settings.vectors.dim, embedder.dimension
    if wanted is not None and own is not None and wanted != own:
        raise ConfigurationError(
            f"OM_VEC_DIM={wanted}, but the embedder {embedder.name} makes vectors of {own}; leave OM_VEC_DIM out"
        )
    dimension = wanted or own
    if dimension is None:
        raise ConfigurationError(
            "OM_EMBEDDINGS=none needs OM_VEC_DIM, the number of dimensions of the vectors that requests bring"
        )
    return Names(
        schema=settings.database.schema_name,
        memories=settings.database.table,
        vectors=settings.database.vector_table,
        app_role=settings.database.app_role,
        vector_type=settings.vectors.type,
        dimension=dimension,
        distance=settings.vectors.distance,
    )


def data_folder(settings: Settings) -> Path:
    """Return where the embedded database lies, by its whole path; it is used where the settings name none."""
    return embedded.place_of(_named_folder(settings))


def _named_folder(settings: Settings) -> Path:
    return settings.database.data_dir or embedded.default_data_dir()


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


def bring_up_to_date(
    logins: Logins, tables: Names, embedder: Embedder, on_step: Callable[[migrate.Migration], None] = lambda _: None
) -> list[migrate.Migration]:
    """Migrate the database, give the roles their rights, record the embedder; return what was applied."""
    with in_turn(logins.owner):
        return _bring_up(logins, tables, embedder, on_step)


def _bring_up(
    logins: Logins, tables: Names, embedder: Embedder, on_step: Callable[[migrate.Migration], None] = lambda _: None
) -> list[migrate.Migration]:
    status = migrate.status(logins.owner, tables)
    if status.is_foreign:
        return migrate.migrate(logins.owner, tables, on_step)
    if not status.is_empty:
        check_facts(registry.facts(logins.owner, tables), facts_of(tables, embedder))
    roles.prepare_app_role(logins.owner, tables)
    applied = migrate.migrate(logins.owner, tables, on_step)
    roles.grant(logins.owner, tables, logins.server_user)
    registry.record_facts(logins.owner, tables, facts_of(tables, embedder))
    return applied


def make_ready(settings: Settings, logins: Logins, embedder: Embedder, on_event: OnEvent = lambda _: None) -> Readied:
    """Return a database that is safe to serve; an empty one is given its tables first.

    Raises ConfigurationError where migrations are pending, the embedder is another than the one that made the
    stored vectors, or the roles would not keep tenants apart.
    """
    tables = names(settings, embedder)
    with in_turn(logins.server, on_event):
        status = migrate.status(logins.server, tables)
        if status.is_empty and not status.is_foreign:
            _refuse_beside_old(logins, tables)
            on_event("creating the tables")
            _bring_up(logins, tables, embedder)
            status = migrate.status(logins.server, tables)
    if status.is_foreign:
        raise ConfigurationError(
            f"schema {tables.schema} holds tables of an older OpenMemory; `openmemory migrate` looks at them, asks, and"
            " moves them (`openmemory migrate --dry-run` only looks)"
        )
    elif status.pending:
        listed = ", ".join(migration.name for migration in status.pending)
        raise ConfigurationError(f"migrations are pending ({listed}); run `openmemory migrate`")
    refuse_half_done(logins.server, tables)
    check_facts(registry.facts(logins.server, tables), facts_of(tables, embedder))
    return Readied(logins, tables, tuple(roles.check(logins.server, tables, owner_serves=logins.server_user is None)))


def _refuse_beside_old(logins: Logins, tables: Names) -> None:
    """Raise ConfigurationError where an older OpenMemory's tables lie in another schema: this one may be a slip."""
    if others := elsewhere(logins.owner, tables, only_old=True):
        raise ConfigurationError(
            f"schema {tables.schema} holds nothing, but {', '.join(others)} has tables of an older OpenMemory. Set"
            f" OM_PG_SCHEMA={others[0]}; or have new, empty tables made in {tables.schema}: `openmemory migrate`"
        )


@asynccontextmanager
async def open_services(
    settings: Settings,
    ready: Readied,
    embedder: Embedder,
    clock: Clock = system_clock,
    revive: Callable[[], None] | None = None,
) -> AsyncIterator[Services]:
    """Yield the services over an open pool, with their upkeep running; `revive` is called when the database is away."""
    if isinstance(embedder, StaticEmbedder):
        embedder.load()  # or the first request would wait for it
    async with _database(settings, ready) as database:
        encoder = Encoder(embedder, ready.names.dimension, as_half=ready.names.vector_type == "halfvec")
        vocabularies = Vocabularies(database)
        recalls = Recalls(database, clock)
        limits = settings.limits
        wait_s = limits.tenant_wait_ms / 1000
        turns = SearchTurns(_searches_at_once(settings), wait_s)
        corpora = Corpora(limits.search_cache_bytes)
        tenants = Tenants(database, create_on_first_use=settings.access.auto_create_tenants)
        idempotency = Idempotency(database, clock)
        upkeep = [asyncio.create_task(recalls.run()), asyncio.create_task(forget_keys(idempotency))]
        if revive is not None:
            upkeep.append(asyncio.create_task(keep_alive(tenants, revive)))
        try:
            yield Services(
                memories=Memories(database, encoder, vocabularies, clock),
                search=Search(database, encoder, vocabularies, recalls, clock, turns, corpora),
                tenants=tenants,
                idempotency=idempotency,
                shares=Shares(limits.tenant_concurrency, wait_s),
                clock=clock,
            )
        finally:
            for task in upkeep:
                task.cancel()
            await asyncio.gather(*upkeep, return_exceptions=True)  # the last recalls are written before the pool closes
            if isinstance(embedder, OpenAIEmbedder):
                await embedder.aclose()


@asynccontextmanager
async def open_census(settings: Settings, ready: Readied) -> AsyncIterator[Census]:
    """Yield the counts over a pool of their own: for the owner's commands, never for the server."""
    async with _database(settings, ready) as database:
        yield Census(database)


def create_app(settings: Settings, ready: Readied, embedder: Embedder, clock: Clock = system_clock) -> FastAPI:
    """Return the HTTP application over a database that was made ready."""
    access = settings.access
    return create_api(
        lambda: open_services(settings, ready, embedder, clock, ready.logins.revive),
        HeaderAuth(
            bound_to_loopback=settings.server.loopback,
            api_key=access.api_key.get_secret_value() if access.api_key else None,
            trust_header=access.trust_tenant_header,
            header=access.tenant_header,
            default_tenant=access.default_tenant_id,
            multi_tenant=access.multi_tenant,
        ),
        About(
            version=version("openmemory-postgres"),
            provider=settings.embeddings.embedder,
            model=embedder.name,
            dimension=ready.names.dimension,
            tier=settings.embeddings.tier,
        ),
        Limits(
            settings.limits.max_body_bytes,
            settings.limits.max_batch_bytes,
            bodies_of_a_tenant=settings.limits.tenant_concurrency,
        ),
        settings.server.cors_origins,
    )


def _database(settings: Settings, ready: Readied) -> Database:
    database = settings.database
    return Database(
        ready.logins.server,
        ready.names,
        PoolLimits(database.pool_max, database.pool_idle_s, database.connect_timeout_s),
        settings.limits.statement_timeout_ms,
        behind_pooler=ready.logins.behind_pooler,
    )


def _searches_at_once(settings: Settings) -> int:
    """Return four more than the processors where PostgreSQL runs on this machine; a fifth of the pool is for writes."""
    most = settings.database.pool_max
    for_reading = max(1, most - max(1, most // 5))
    return min(for_reading, (os.cpu_count() or 1) + 4) if settings.database.embedded else for_reading


def _conninfo(login: Login) -> Conninfo:
    return {**({"conninfo": login.dsn} if login.dsn else {}), **login.keywords}
