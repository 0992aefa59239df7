"""A client that is a fresh tenant, and applications with other settings on the worker's database."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.settings import Settings, load
from tests.factories import a_tenant
from tests.server.asking import a_client
from tests.server.serving import serving

Started = Callable[..., AbstractAsyncContextManager[FastAPI]]


@pytest.fixture
def tenant() -> str:
    """Return the name of the tenant that `me` is."""
    return a_tenant()


@pytest.fixture
async def me(api: FastAPI, tenant: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client on this machine that is a fresh tenant."""
    async with a_client(api, tenant) as client:
        yield client


@pytest.fixture
async def other(api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client on this machine that is another fresh tenant."""
    async with a_client(api, a_tenant()) as client:
        yield client


@pytest.fixture
def started(ready: Readied, embedder: Embedder) -> Started:
    """Return what starts an application with other settings on the worker's database."""

    @asynccontextmanager
    async def start(**environ: str) -> AsyncIterator[FastAPI]:
        built = application.create_app(load(environ=environ), ready, embedder)
        async with built.router.lifespan_context(built):
            yield built

    return start


@pytest.fixture(scope="session")
def url(settings: Settings, ready: Readied, embedder: Embedder) -> Iterator[str]:
    """Yield the address of a real server on the worker's database."""
    with serving(application.create_app(settings, ready, embedder)) as address:
        yield address
