"""The tenant that a request names, and whether it may work."""

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.conninfo import make_conninfo

from openmemory.app import Logins
from tests.factories import a_tenant
from tests.server.asking import a_client, fields, listed, problem, told
from tests.server.conftest import Started

CALLS = [
    ("GET", "/memory/all"),
    ("GET", "/sectors"),
    ("POST", "/memory/add"),
    ("POST", "/memory/query"),
    ("DELETE", "/users/ada/memories"),
    ("GET", "/memory/nonsense"),
]


async def call(client: httpx2.AsyncClient, method: str, path: str) -> httpx2.Response:
    """Make one of the calls, with a body that suits any of them."""
    body = {"content": "The ferry leaves", "query": "ferry"} if method == "POST" else None
    return await client.request(method, path, json=body)


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"x" * 129, b"\xff", b"\xed\xa0\x80", b"a\x00b", b"a\tb", b"a\x7fb", "a\x85b".encode()),
        *("ü".encode() * 65, b"\xc3", b"tenant\xff", b"a,b", b"a, b", "a\u200bb".encode(), "\u202eb".encode()),
        *("a\u00a0b".encode(), "a\u2028b".encode(), "a\u00adb".encode(), "\u3000".encode(), b" "),
    ],
)
@pytest.mark.parametrize("header", ["x-tenant-id", "X-Organisation"])
async def test_what_names_no_tenant_is_malformed_and_the_header_is_named(
    started: Started, header: str, value: bytes
) -> None:
    async with started(OM_TENANT_HEADER=header) as api, a_client(api) as client:
        response = await client.get("/memory/all", headers=[(header.encode(), value)])

    assert [name.lower() for name in fields(response)] == [header.lower()]
    assert header.lower() in response.json()["detail"].lower()


@pytest.mark.parametrize("values", [("a", "b"), ("a", "a"), ("", "a")])
async def test_a_tenant_is_named_once(http: httpx2.AsyncClient, values: tuple[str, str]) -> None:
    response = await http.get("/memory/all", headers=[("x-tenant-id", value) for value in values])

    assert fields(response) == ["x-tenant-id"]


@pytest.mark.parametrize(
    "name", ["ü" * 64, "x" * 128, "tenant one", "租户", "a'b\"c;--", "A", "a", "%00", "../x", "e\u0301", "a b  c"]
)
async def test_any_other_name_is_a_tenant_of_its_own(api: FastAPI, name: str) -> None:
    prefix = a_tenant() if len(name.encode()) < 100 else ""
    headers = [(b"x-tenant-id", (prefix + name).encode())]
    async with a_client(api) as client:
        client.headers = httpx2.Headers(headers)
        memory = await told(client, f"Of {name}")

        assert (await client.get(f"/memory/{memory}")).json()["content"] == f"Of {name}"
    async with a_client(api, a_tenant()) as someone:
        problem(await someone.get(f"/memory/{memory}"), 404, "memory-not-found")


async def test_without_the_header_it_is_the_default_tenant(started: Started) -> None:
    default = a_tenant()
    async with started(OM_DEFAULT_TENANT_ID=default) as api:
        async with a_client(api) as nameless:
            await told(nameless, "Of the default")
        async with a_client(api, default) as named:
            assert await listed(named) == ["Of the default"]
        async with a_client(api, a_tenant()) as other:
            assert await listed(other) == []


async def test_the_header_may_have_another_name(started: Started) -> None:
    tenant, default = a_tenant(), a_tenant()
    async with started(OM_TENANT_HEADER="X-Organisation", OM_DEFAULT_TENANT_ID=default) as api:
        async with a_client(api) as client:
            client.headers["x-organisation"] = tenant
            await told(client, "Of the organisation")
            assert await listed(client) == ["Of the organisation"]
        async with a_client(api, tenant) as by_the_usual_name:
            assert await listed(by_the_usual_name) == []


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_where_there_is_one_tenant_no_other_may_be_named(started: Started, method: str, path: str) -> None:
    default = a_tenant()
    async with started(OM_MULTI_TENANT="false", OM_DEFAULT_TENANT_ID=default) as api:
        async with a_client(api, a_tenant()) as other:
            problem(await call(other, method, path), 403, "tenant-forbidden")
        for tenant in (None, default):
            async with a_client(api, tenant) as client:
                assert (await call(client, method, path)).status_code in {200, 404}


def set_status(logins: Logins, tenant: str, status: str) -> None:
    """Write a tenant's status into the registry, as the operator."""
    with psycopg.connect(make_conninfo(**logins.owner)) as owner:
        owner.execute(
            "INSERT INTO openmemory_tenants (tenant_id, status) VALUES (%s, %s)"
            " ON CONFLICT (tenant_id) DO UPDATE SET status = EXCLUDED.status",
            (tenant, status),
        )


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("status", ["suspended", "deleted"])
async def test_a_tenant_that_is_not_active_is_forbidden(
    api: FastAPI, logins: Logins, method: str, path: str, status: str
) -> None:
    tenant = a_tenant()
    set_status(logins, tenant, status)

    async with a_client(api, tenant) as client:
        found = problem(await call(client, method, path), 403, "tenant-forbidden")

    assert status in found["detail"]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_an_unknown_tenant_is_forbidden_where_none_is_created(
    started: Started, logins: Logins, method: str, path: str
) -> None:
    known = a_tenant()
    set_status(logins, known, "active")

    async with started(OM_AUTO_CREATE_TENANTS="false") as api:
        async with a_client(api, a_tenant()) as unknown:
            problem(await call(unknown, method, path), 403, "tenant-forbidden")
        async with a_client(api, known) as client:
            assert (await call(client, method, path)).status_code in {200, 404}
