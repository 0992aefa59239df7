"""A real server: connections that are kept, shared by many, and lost in the middle."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.core.memory import Asked
from openmemory.core.scope import Scope
from openmemory.service.search import Found
from openmemory.settings import load
from tests.factories import a_tenant
from tests.server.asking import asked, told
from tests.server.bare import ADD, QUERY, a_request, connected, dialled, status_of, works
from tests.server.serving import PATIENCE_S, serving


def test_a_connection_is_kept_through_answers_and_refusals(url: str) -> None:
    headers = {"x-tenant-id": a_tenant(), "content-type": "application/json"}
    with closing(connected(url)) as connection:
        connection.connect()
        first = connection.sock
        for method, path, body, status in (
            ("POST", "/memory/add", ADD, 200),
            ("POST", "/memory/add", b"{", 400),
            ("POST", "/memory/query", QUERY, 200),
            ("GET", "/memory/nonsense", None, 404),
            ("PUT", "/memory/add", ADD, 405),
            ("GET", "/nowhere", None, 404),
            ("GET", "/health", None, 200),
        ):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == status

        assert connection.sock is first


def test_requests_sent_without_waiting_are_answered_in_order(url: str) -> None:
    tenant = a_tenant()
    with closing(dialled(url)) as connection:
        last = a_request("/memory/add", b"{", tenant, "content-length: 1", "connection: close")
        connection.sendall(a_request("/memory/add", ADD, tenant) * 2 + last)
        with connection.makefile("rb") as answers:
            received = answers.read()

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /memory/all?user_id=\xff HTTP/1.1", {400}),
        (b"GET /memory/\xff\xfe HTTP/1.1", {400, 404}),
        (b"GET /memory/%ff%00 HTTP/1.1", {400}),
        (b"GET /memory/all?%ff=%00&limit=%ed%a0%80 HTTP/1.1", {400}),
        (b"GET nowhere HTTP/1.1", {400, 404}),
        (b"nonsense", {400}),
        (b"\x16\x03\x01", {400}),
    ],
)
def test_an_odd_request_line_is_refused(url: str, request_line: bytes, status: set[int]) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(request_line + b"\r\nhost: localhost\r\n\r\n")

        assert status_of(connection) in status


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(
            a_request("/memory/add", b"", a_tenant(), "content-length: 99999999", "expect: 100-continue")
        )

        assert status_of(connection) == 413


def test_a_body_in_pieces_is_refused_once_it_is_too_large(url: str) -> None:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with closing(dialled(url)) as connection:
        connection.sendall(a_request("/memory/add", piece * 20, a_tenant(), "transfer-encoding: chunked"))

        assert status_of(connection) == 413


async def test_fifty_clients_add_and_ask_at_once(patient: str) -> None:
    tenants = [a_tenant() for _ in range(10)]

    async def work(tenant: str, number: int) -> None:
        async with httpx2.AsyncClient(base_url=patient, headers={"x-tenant-id": tenant}, timeout=PATIENCE_S) as client:
            for turn in range(4):
                mine = await told(client, f"Ferry {number} turn {turn}", user_id=f"user-{number}")
                found = await asked(client, query=f"Ferry {number} turn {turn}", user_id=f"user-{number}")
                assert mine in {match["id"] for match in found}
                assert {match["user_id"] for match in found} == {f"user-{number}"}

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(work, tenants[number % len(tenants)], number)


@pytest.fixture
def patient(ready: Readied, embedder: Embedder) -> Iterator[str]:
    """Yield the address of a server that has everybody wait for as long as a slow machine takes."""
    settings = load(environ={"OM_TENANT_WAIT_MS": "60000"})
    with serving(application.create_app(settings, ready, embedder)) as address:
        yield address


@pytest.fixture
def scarce(ready: Readied, embedder: Embedder) -> Iterator[tuple[FastAPI, str]]:
    """Yield a server that has two places a tenant and two connections to PostgreSQL, and its address."""
    settings = load(environ={"OM_TENANT_CONCURRENCY": "2", "OM_TENANT_WAIT_MS": "0", "OM_PG_POOL_MAX": "2"})
    app = application.create_app(settings, ready, embedder)
    with serving(app) as address:
        yield app, address


def test_clients_that_leave_in_the_middle_of_a_request_cost_nothing(scarce: tuple[FastAPI, str]) -> None:
    _, url = scarce
    tenant = a_tenant()
    with capture_logs() as events:
        for path in ("/memory/add", "/memory/add/batch", "/memory/query", "/memory/reinforce"):
            for _ in range(3):
                with closing(dialled(url)) as connection:
                    connection.sendall(a_request(path, b'{"content": "x', tenant, length=1_000))

        assert works(url, tenant)
    assert {(event["event"], event["status"]) for event in events} <= {("request.done", 200), ("request.done", 400)}


class Slow:
    """A search that waits, in the server's thread, until this one lets it go on."""

    def __init__(self, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.ended = threading.Semaphore(0)
        search = app.state.services.search
        find = search.find

        async def slow(scope: Scope, question: Asked) -> Found:
            self.begun.release()
            await asyncio.to_thread(self.may_end.wait, PATIENCE_S)
            try:
                found: Found = await find(scope, question)
                return found
            finally:
                self.ended.release()

        monkeypatch.setattr(search, "find", slow)


def test_clients_that_leave_before_the_answer_give_back_places_and_connections(
    scarce: tuple[FastAPI, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, url = scarce
    tenants = [a_tenant() for _ in range(4)]
    slow = Slow(app, monkeypatch)
    connections = [dialled(url) for _ in tenants for _ in range(2)]
    for number, connection in enumerate(connections):
        connection.sendall(a_request("/memory/query", QUERY, tenants[number // 2]))
    assert all(slow.begun.acquire(timeout=PATIENCE_S) for _ in connections)
    assert not works(url, tenants[0])

    for connection in connections:
        connection.close()
    slow.may_end.set()
    assert all(slow.ended.acquire(timeout=PATIENCE_S) for _ in connections)

    assert all(works(url, tenant) for tenant in tenants)


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_a_request_for_another_protocol_is_answered_as_it_stands_and_nobody_is_told_to_install_it(
    url: str, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = ("connection: Upgrade, HTTP2-Settings", f"upgrade: {protocol}", "sec-websocket-key: x")
    tenant = a_tenant()
    requests = [
        (a_request("/nowhere", b"", tenant, *wanted, method="GET"), 404),
        (a_request("/memory/add", ADD, tenant, *wanted, f"content-length: {len(ADD)}"), 200),
        (a_request("/memory/query", QUERY, tenant, *wanted, f"content-length: {len(QUERY)}"), 200),
        (a_request("/health", b"", tenant, *wanted, method="GET"), 200),
    ]
    with closing(dialled(url)) as connection:
        for request, status in requests:
            connection.sendall(request[:-5])
            connection.sendall(request[-5:])

            assert status_of(connection) == status
    with closing(dialled(url)) as connection:
        connection.sendall(
            b"".join(request for request, _ in requests)
            + a_request("/health", b"", tenant, "connection: close", method="GET")
        )
        with connection.makefile("rb") as answers:
            received = answers.read()

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"404", b"200", b"200", b"200", b"200"]
    assert caplog.records == []


def test_a_body_that_comes_with_the_end_of_a_head_that_asks_for_another_protocol_is_none_of_it(url: str) -> None:
    tenant, body = a_tenant(), json.dumps({"content": "x", "padding": "y" * 200_000}).encode()
    for wanted in ((), ("connection: Upgrade", "upgrade: h2c")):
        request = a_request("/memory/add", body, tenant, *wanted, f"content-length: {len(body)}")
        begun = request.index(b"\r\n") + 2
        with closing(dialled(url)) as connection:
            connection.sendall(request[:begun])
            assert works(url, tenant)  # so that what was sent before is read by itself
            connection.sendall(request[begun:])

            assert status_of(connection) == 200


def test_a_tunnel_is_refused(url: str) -> None:
    with closing(dialled(url)) as connection:
        connection.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")

        assert 400 <= status_of(connection) < 500


def test_very_many_requests_for_another_protocol_in_one_piece_are_all_answered(url: str) -> None:
    request = a_request("/health", b"", a_tenant(), "connection: upgrade", "upgrade: h2c", method="GET")
    last = a_request("/health", b"", a_tenant(), "connection: close", method="GET")
    with closing(dialled(url)) as connection:
        connection.sendall(request * 400 + last)
        with connection.makefile("rb") as answers:
            received = answers.read()

    assert len(re.findall(rb"HTTP/1.1 200", received)) == 401


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_head_is_answered_like_get_without_a_body(url: str, path: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as client:
        whole, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]
