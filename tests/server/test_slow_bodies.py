"""Bodies that stop on their way, or never end: their tenant has its place back."""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPResponse
from uuid import UUID

import pytest

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.limits import Limits
from openmemory.server.status_calls import About
from openmemory.settings import load
from tests.factories import a_tenant
from tests.server.bare import a_request, dialled, works
from tests.server.serving import serving

HALF = b'{"content": "The ferry '
CALLS = [("POST", "/memory/add"), ("POST", "/memory/query"), ("PATCH", f"/memory/{UUID(int=1)}")]
Impatient = Callable[[Limits], AbstractContextManager[str]]


@pytest.fixture
def impatient(ready: Readied, embedder: Embedder) -> Impatient:
    """Return what starts a server with other limits, of which each tenant has one place, and yields its address."""
    settings = load(environ={"OM_TENANT_CONCURRENCY": "1", "OM_TENANT_WAIT_MS": "0"})

    @contextmanager
    def start(limits: Limits) -> Iterator[str]:
        auth, about = HeaderAuth(bound_to_loopback=True), About("1", "hash", "hash", 256, "hybrid")
        services = application.open_services(settings, ready, embedder)
        with serving(create_api(lambda: services, auth, about, limits)) as url:
            yield url

    return start


def answer_of(connection: socket.socket) -> tuple[HTTPResponse, str]:
    """Return the answer that comes next, and its text."""
    response = HTTPResponse(connection)
    response.begin()
    return response, response.read().decode()


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_body_that_stops_on_its_way_gives_its_place_back(impatient: Impatient, method: str, path: str) -> None:
    tenant = a_tenant()
    with impatient(Limits(silence_s=0.2)) as url, closing(dialled(url)) as connection:
        connection.sendall(a_request(path, HALF, tenant, length=500_000, method=method))

        response, text = answer_of(connection)

        assert (response.status, response.headers["connection"]) == (408, "close")
        assert response.headers["content-type"] == "application/problem+json"
        assert '"/problems/request-timeout"' in text
        assert "no more of the body came for 0.2 s; send it again" in text
        assert connection.recv(1) == b""
        assert works(url, tenant)


def test_a_body_that_comes_in_drops_does_not_come_for_ever(impatient: Impatient) -> None:
    tenant = a_tenant()
    with impatient(Limits(arrival_s=0.2)) as url, closing(dialled(url)) as connection:
        connection.sendall(a_request("/memory/add", HALF, tenant, length=500_000))
        while not select.select([connection], [], [], 0.01)[0]:
            connection.sendall(b"x")

        response, text = answer_of(connection)

        assert response.status == 408
        assert "the body was not whole after 0.2 s; send less at once" in text
        assert works(url, tenant)
