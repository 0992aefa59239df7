"""Who is asking: which requests are believed, by where they come from and what they bring."""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import pytest
from fastapi import FastAPI

from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.calling import Services
from openmemory.server.status_calls import About
from tests.factories import a_tenant
from tests.server.asking import HERE, a_client, listed, problem, told
from tests.server.conftest import Started

KEY = "the-server-key-0123456789"
AWAY = ("192.0.2.7", 50000)
Headers = list[tuple[str, str]]
LOCAL = HeaderAuth(bound_to_loopback=True)


@dataclass(frozen=True)
class Case:
    """A request to a server, and the status it must get; 404 is that of a memory that is not there."""

    status: int
    headers: Headers = field(default_factory=list)
    peer: tuple[str, int] = HERE
    host: str = "127.0.0.1:8080"
    auth: HeaderAuth = LOCAL
    pages: tuple[str, ...] = ()


KEYED = HeaderAuth(bound_to_loopback=True, api_key=KEY)
TRUSTING = HeaderAuth(bound_to_loopback=False, trust_header=True)
OPEN = HeaderAuth(bound_to_loopback=False)
PAGES = ("http://localhost:3000", "https://app.example")

CASES = [
    # This machine: peer, bound address and Host must all be loopback.
    *(
        Case(404, host=host)
        for host in ("127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]", "127.9.9.9")
    ),
    *(Case(404, peer=(peer, 1)) for peer in ("127.0.0.1", "127.8.8.8", "::1")),
    *(Case(401, peer=(peer, 1)) for peer in ("192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1", "", "unix")),
    Case(401, auth=OPEN),
    Case(401, auth=OPEN, peer=AWAY),
    # DNS rebinding: a page's own name that leads to this machine.
    *(
        Case(401, host=host)
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil")
    ),
    *(
        Case(401, host=host)
        for host in ("evil@127.0.0.1", "127.0.0.1@evil", "127.0.0.1/evil", "127.0.0.1#", "[::1%evil]")
    ),
    *(
        Case(401, host=host)
        for host in ("", " ", "[", "[::1", "::1", "[]", "127.0.0.1:port", "127.0.0.1:", "0.0.0.0", "[::]")  # noqa: S104 -- a Host that is refused
    ),
    *(Case(401, host=host) for host in ("2130706433", "0x7f000001", "127.1", "127.0.0.1, evil", "localhost.")),
    Case(401, [("host", "localhost")]),
    # A proxy in between.
    *(
        Case(401, [(name, "127.0.0.1")])
        for name in ("Forwarded", "X-Forwarded-For", "x-forwarded-host", "via", "X-Real-IP")
    ),
    Case(401, [("x-forwarded-anything", "")]),
    # Pages in a browser.
    Case(404, [("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]),
    Case(404, [("sec-fetch-site", "none")]),
    *(Case(401, [("sec-fetch-site", site)]) for site in ("cross-site", "same-site", "", "odd")),
    Case(401, [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]),
    *(
        Case(401, [("origin", origin)])
        for origin in ("null", "https://evil.example", "http://127.0.0.1", "", "http://[")
    ),
    *(
        Case(401, [("origin", origin)])
        for origin in ("http://localhost:8080", "127.0.0.1:8080", "file://127.0.0.1:8080")
    ),
    Case(401, [("origin", "http://127.0.0.1:8080"), ("origin", "https://evil.example")]),
    Case(404, [("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")], pages=PAGES),
    Case(401, [("origin", "http://localhost:3000"), ("origin", "https://evil.example")], pages=PAGES),
    Case(401, [("origin", "https://app.example")], pages=PAGES),
    Case(401, [("origin", "*")], pages=("*",)),
    Case(401, [("origin", "http://localhost:3000")], peer=AWAY, pages=PAGES),
    Case(401, [("origin", "http://localhost:3000")], host="evil.example", pages=PAGES),
    # The server key, which once set is always demanded.
    Case(401, auth=KEYED),
    *(Case(404, [header], auth=KEYED) for header in (("x-api-key", KEY), ("authorization", f"Bearer {KEY}"))),
    *(Case(404, [("authorization", f"{how}{KEY}")], auth=KEYED) for how in ("bearer ", "BEARER ", "Bearer  ")),
    Case(404, [("x-api-key", KEY), ("authorization", "Bearer of-the-gateway")], auth=KEYED),
    Case(404, [("x-api-key", KEY), ("authorization", f"Bearer {KEY}")], auth=KEYED),
    *(Case(403, [("x-api-key", key)], auth=KEYED) for key in ("wrong", "", KEY[:-1], KEY + "x", KEY.upper(), "\xff")),
    *(Case(403, [("authorization", f"Bearer {key}")], auth=KEYED) for key in ("wrong", KEY[:-1], KEY + " x")),
    Case(403, [("x-api-key", "wrong"), ("authorization", f"Bearer {KEY}")], auth=KEYED),
    Case(403, [("x-api-key", KEY), ("x-api-key", KEY)], auth=KEYED),
    Case(403, [("x-api-key", KEY), ("x-api-key", "wrong")], auth=KEYED),
    *(
        Case(403, [("authorization", f"Bearer {KEY}"), ("authorization", other)], auth=KEYED)
        for other in (f"Bearer {KEY}", "Bearer wrong", "Basic x")
    ),
    Case(404, [("x-api-key", KEY), ("authorization", "Bearer a"), ("authorization", "Bearer b")], auth=KEYED),
    *(Case(401, [("authorization", value)], auth=KEYED) for value in ("", KEY, "Bearer", "Bearer ", f"Basic {KEY}")),
    Case(404, [("x-api-key", KEY), ("via", "x"), ("origin", "https://x")], AWAY, "memory.example", KEYED),
    Case(404, [("x-api-key", "anything")]),
    Case(401, [("x-api-key", "anything")], peer=AWAY),
    # The right key is no less demanded where the header is trusted.
    Case(401, auth=HeaderAuth(bound_to_loopback=False, api_key=KEY, trust_header=True)),
    Case(404, peer=AWAY, host="memory.example", auth=TRUSTING),
    Case(404, [("x-forwarded-for", "192.0.2.9"), ("via", "gateway")], AWAY, "memory.example", TRUSTING),
]


@asynccontextmanager
async def nothing_more() -> AsyncIterator[Services]:
    """Open nothing: the services are those of another application."""
    raise NotImplementedError
    yield


def an_api(auth: HeaderAuth, api: FastAPI, pages: tuple[str, ...] = ()) -> FastAPI:
    """Return an application that asks like `auth` and works like `api`."""
    about = About("1", "hash", "hash", 256, "hybrid")
    built = create_api(nothing_more, auth, about, cors_origins=pages)
    built.state.services = api.state.services
    return built


async def asking(api: FastAPI, case: Case) -> httpx2.Response:
    """Make the request of a case."""
    headers = [("x-tenant-id", a_tenant()), ("host", case.host), *case.headers]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    async with a_client(an_api(case.auth, api, case.pages), peer=case.peer) as client:
        return await client.get("/memory/00000000-0000-4000-8000-000000000000", headers=raw)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_request_is_believed_or_not(api: FastAPI, case: Case) -> None:
    response = await asking(api, case)

    kinds = {401: "credentials-missing", 403: "credentials-invalid", 404: "memory-not-found"}
    found = problem(response, case.status, kinds[case.status])
    assert KEY not in response.text + str(response.headers)
    if case.status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        ways = ("OM_API_KEY", "loopback", "OM_TRUST_TENANT_HEADER") if case.auth.api_key is None else ("x-api-key",)
        assert all(way in found["detail"] for way in ways)


async def test_a_socket_without_an_address_is_not_loopback(api: FastAPI) -> None:
    built = an_api(LOCAL, api)
    sent: list[str] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(str(message.get("status")))

    scope = {"type": "http", "method": "GET", "path": "/memory/all", "raw_path": b"/memory/all", "query_string": b""}
    rest = {"headers": [(b"host", b"localhost")], "client": None, "server": None, "scheme": "http", "root_path": ""}
    await built({**scope, **rest}, lambda: None, send)  # type: ignore[arg-type,return-value]  # made by hand

    assert sent[0] == "401"


async def test_keys_are_compared_in_constant_time(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(presented: bytes, expected: bytes) -> bool:
        compared.append((presented, expected))
        return compare(presented, expected)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    await asking(api, Case(403, [("x-api-key", "wrong")], auth=KEYED))

    assert compared == [(b"wrong", KEY.encode())]


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
async def test_the_servers_own_paths_are_open(api: FastAPI, path: str) -> None:
    async with a_client(an_api(KEYED, api), peer=AWAY) as client:
        assert (await client.get(path, headers={"host": "memory.example"})).status_code == 200


@pytest.mark.parametrize("path", ["/sectors", "/memory/all", "/users/ada/memories", "/nowhere", "/health/", "//health"])
async def test_every_other_path_asks_who_it_is(api: FastAPI, path: str) -> None:
    async with a_client(an_api(KEYED, api)) as client:
        problem(await client.get(f"http://127.0.0.1:8080{path}"), 401, "credentials-missing")


async def test_a_page_that_the_settings_name_may_ask_from_a_browser(started: Started) -> None:
    async with started(OM_CORS_ORIGINS="http://localhost:3000") as api, a_client(api, a_tenant()) as client:
        page = {"origin": "http://localhost:3000"}
        asked_first = await client.options("/memory/add", headers={**page, "access-control-request-method": "POST"})
        await told(client, "The ferry leaves")
        answered = await client.get("/memory/all", headers=page)
        refused = await client.get("/memory/nonsense", headers=page)
        other = await client.get("/memory/all", headers={"origin": "http://localhost:4000"})

    assert asked_first.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answered.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "etag" in answered.headers["access-control-expose-headers"].lower()
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
    problem(other, 401, "credentials-missing")


async def test_the_key_from_the_settings_is_demanded(started: Started) -> None:
    async with started(OM_API_KEY=KEY) as api, a_client(api, a_tenant()) as client:
        problem(await client.get("/memory/all"), 401, "credentials-missing")
        client.headers["x-api-key"] = KEY
        assert await listed(client) == []
