"""What comes before a request is known to be one: it has its time and its size, and is refused as all else is."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.connections import BoundedConnection
from openmemory.server.limits import Limits
from openmemory.server.status_calls import About
from openmemory.server.without_upgrade import PlainConnection
from openmemory.settings import load
from tests.factories import a_tenant
from tests.server.bare import ADD, a_request, dialled, status_of, works
from tests.server.serving import serving
from tests.server.test_slow_bodies import answer_of


class Impatient(BoundedConnection):
    """A connection that waits for a head for a moment."""

    head_s = 0.2


class Seen(PlainConnection):
    """A connection that is remembered."""

    made: ClassVar[list[PlainConnection]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn has it
        """Remember it."""
        self.made.append(self)
        super().connection_made(transport)


@pytest.fixture(params=[Impatient])
def url(request: pytest.FixtureRequest, ready: Readied, embedder: Embedder) -> Iterator[str]:
    """Yield the address of a server."""
    auth, about = HeaderAuth(bound_to_loopback=True), About("1", "hash", "hash", 256, "hybrid")
    services = application.open_services(load(environ={}), ready, embedder)
    with serving(create_api(lambda: services, auth, about, Limits()), request.param) as address:
        yield address


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(url: str) -> None:
    with closing(dialled(url)) as connection:
        assert connection.recv(1) == b""


def test_a_head_that_stops_on_its_way_ends_its_connection(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(b"POST /memory/add HTTP/1.1\r\nhost: 127.0.0.1\r\nx-tenant")
        response, text = answer_of(connection)
        assert (response.status, response.headers["connection"]) == (408, "close")
        assert json.loads(text)["type"] == "/problems/request-timeout"
        assert connection.recv(1) == b""


@pytest.mark.parametrize("url", [BoundedConnection], indirect=True)
def test_a_head_without_end_is_refused(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        try:
            for number in range(2_000):
                connection.sendall(b"x-%d: %s\r\n" % (number, b"y" * 1_000))
        except ConnectionError:
            return  # it was closed while more came
        response, text = answer_of(connection)
    assert (response.status, json.loads(text)["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("url", [BoundedConnection], indirect=True)
def test_a_url_that_is_too_long_is_called_too_long(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(b"GET /health?x=" + b"y" * 65_526 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        response, text = answer_of(connection)
    assert (response.status, json.loads(text)["type"]) == (413, "/problems/too-large")
    assert "line" in json.loads(text)["detail"]


@pytest.mark.parametrize("url", [BoundedConnection], indirect=True)
def test_what_is_no_http_is_a_problem_like_any_other(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nx y: z\r\n\r\n")
        response, text = answer_of(connection)
    assert (response.status, response.headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(text)["type"] == "/problems/malformed"


@pytest.mark.parametrize("url", [BoundedConnection], indirect=True)
def test_a_chunk_whose_size_is_no_number_is_a_problem_like_any_other(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(a_request("/memory/add", b"zz\r\n{}\r\n0\r\n\r\n", a_tenant(), "transfer-encoding: chunked"))
        response, text = answer_of(connection)
    assert (response.status, response.headers["content-type"]) == (400, "application/problem+json")
    assert "chunk" in json.loads(text)["detail"]
    assert works(url, a_tenant())


def test_a_connection_is_used_again_after_each_answer(url: str) -> None:
    tenant = a_tenant()
    with closing(dialled(url)) as connection:
        for _ in range(3):
            connection.sendall(a_request("/memory/add", ADD, tenant))
            assert status_of(connection) == 200
    assert works(url, tenant)


@pytest.mark.parametrize("url", [BoundedConnection], indirect=True)
def test_an_answer_is_one_packet(url: str) -> None:
    with closing(dialled(url)) as connection:
        for _ in range(5):
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert json.loads(body)["ok"]


@pytest.mark.parametrize("url", [Seen], indirect=True)
@pytest.mark.parametrize("wanted", [(), ("connection: Upgrade", "upgrade: h2c")])
def test_a_connection_that_is_kept_keeps_nothing_of_what_it_read(url: str, wanted: tuple[str, ...]) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(a_request("/memory/add", ADD, a_tenant(), *wanted, f"content-length: {len(ADD)}"))
        assert status_of(connection) == 200
        assert works(url, a_tenant())

        kept = [value for one in Seen.made for value in vars(one).values()]

    assert not [value for value in kept if isinstance(value, bytes) and b"ferry" in value]
