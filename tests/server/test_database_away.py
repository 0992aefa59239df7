"""Every call while PostgreSQL is away, and after it is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import anyio
import httpx2
import psycopg
import pytest
from fastapi import FastAPI

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.core.scope import Scope
from openmemory.postgres.statements import Names
from openmemory.service.recalls import Recalls
from openmemory.service.tenants import Tenants
from openmemory.settings import load
from tests.conftest import Server, a_database
from tests.factories import a_tenant
from tests.server.asking import a_client, asked, problem, told

PATIENCE_S = 60
MEMORY = "/memory/00000000-0000-4000-8000-000000000000"
CALLS = [
    ("POST", "/memory/add", {"content": "The ferry leaves"}),
    ("POST", "/memory/add/batch", {"items": [{"content": "The ferry leaves"}]}),
    ("POST", "/memory/add/batch", {"items": [{"content": "The ferry leaves"}], "partial": True}),
    ("POST", "/memory/query", {"query": "ferry"}),
    ("POST", "/memory/reinforce", {"id": MEMORY[8:]}),
    ("GET", "/memory/all", None),
    ("GET", MEMORY, None),
    ("PATCH", MEMORY, {"tags": ["x"]}),
    ("DELETE", MEMORY, None),
    ("GET", "/users/ada/memories", None),
    ("DELETE", "/users/ada/memories", None),
    ("GET", "/sectors", None),
    ("GET", "/ready", None),
]


@dataclass(frozen=True)
class Breakable:
    """A database that lets nobody in while it is away; its sessions are ended as if PostgreSQL had stopped."""

    server: Server
    name: str

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Keep everybody out inside the block."""
        self._run(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')
        self.end_sessions()
        try:
            yield
        finally:
            self._run(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')

    def end_sessions(self) -> None:
        """End every session, as a restart would."""
        self._run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{self.name}'")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.server.owner["conninfo"], autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def breakable(postgres: Server, worker_id: str) -> Breakable:
    """Return a database of this test's own."""
    return Breakable(postgres, f"om_away_{worker_id}")


@pytest.fixture
async def api(
    breakable: Breakable, names: Names, embedder: Embedder, request: pytest.FixtureRequest
) -> AsyncIterator[FastAPI]:
    """Yield an application on that database, which waits for a connection as long as the test says, or a second."""
    logins = a_database(breakable.server, breakable.name)
    application.bring_up_to_date(logins, names, embedder)
    settings = load(environ={"OM_PG_CONNECT_TIMEOUT_S": getattr(request, "param", "1")})
    built = application.create_app(settings, Readied(logins, names), embedder)
    async with built.router.lifespan_context(built):
        yield built


async def call_all(api: FastAPI, tenant: str | None = None, key: str | None = None) -> list[httpx2.Response]:
    """Make every call at once, each as `tenant` or a tenant of its own."""
    answers: dict[int, httpx2.Response] = {}

    async def one(place: int, method: str, path: str, body: object) -> None:
        headers = {} if key is None else {"idempotency-key": f"{key} {place}"}
        async with a_client(api, tenant or a_tenant()) as client:
            answers[place] = await client.request(method, path, json=body, headers=headers)

    async with anyio.create_task_group() as tasks:
        for place, (method, path, body) in enumerate(CALLS):
            tasks.start_soon(one, place, method, path, body)
    return [answers[place] for place in range(len(CALLS))]


async def back(client: httpx2.AsyncClient) -> None:
    """Return when the server is ready again; each answer waits for the pool."""
    with anyio.fail_after(PATIENCE_S):
        while (await client.get("/ready")).status_code != 200:
            pass


async def test_without_the_database_every_call_is_503_and_with_it_again_all_is_well(
    api: FastAPI, breakable: Breakable
) -> None:
    tenant = a_tenant()
    async with a_client(api, tenant) as client:
        await told(client, "The ferry leaves at nine")

        async with breakable.away():
            for answers in (await call_all(api), await call_all(api, tenant), await call_all(api, key="k")):
                for (method, path, _), response in zip(CALLS, answers, strict=True):
                    found = problem(response, 503, "database-unavailable")
                    assert int(response.headers["retry-after"]) >= 1, (method, path)
                    assert found["instance"] == path
                    assert breakable.name not in response.text
            for path in ("/health", "/metrics", "/openapi.json"):
                assert (await client.get(path)).status_code == 200
            assert (await client.get("/nowhere")).status_code == 404
            assert (await client.post("/memory/add", json={})).status_code == 400

        await back(client)
        assert [match["content"] for match in await asked(client, query="ferry")] == ["The ferry leaves at nine"]
        assert {response.status_code for response in await call_all(api)} == {200, 404}


async def test_after_a_long_absence_the_first_request_finds_the_database_again(
    api: FastAPI, breakable: Breakable
) -> None:
    tenants: Tenants = api.state.services.tenants
    pool = tenants._database._pool
    async with a_client(api, a_tenant()) as client:
        async with breakable.away():
            with anyio.fail_after(PATIENCE_S):
                while pool.get_stats()["pool_size"]:
                    problem(await client.get("/ready"), 503, "database-unavailable")

        assert (await client.get("/ready")).status_code == 200


async def test_an_outage_is_one_line_of_the_pools_log(
    api: FastAPI, breakable: Breakable, caplog: pytest.LogCaptureFixture
) -> None:
    pool = api.state.services.tenants._database._pool
    async with a_client(api, a_tenant()) as client:
        for _ in range(2):
            caplog.clear()
            async with breakable.away():
                with anyio.fail_after(PATIENCE_S):
                    while pool.get_stats()["pool_size"]:
                        await client.get("/ready")
                for _ in range(2):
                    problem(await client.get("/ready"), 503, "database-unavailable")
            await back(client)

            said = [record.getMessage() for record in caplog.records if record.name == "psycopg.pool"]
            assert len([line for line in said if "connecting" in line or "reconnection" in line]) == 1, said


@pytest.mark.parametrize("api", ["60"], indirect=True, ids=["patient"])
async def test_a_restart_costs_no_request(api: FastAPI, breakable: Breakable) -> None:
    await call_all(api)  # so that the pool is as large as it becomes

    for _ in range(3):
        breakable.end_sessions()

        statuses = {response.status_code for response in await call_all(api)}

        assert statuses <= {200, 404}
    async with a_client(api, a_tenant()) as client:
        assert await told(client, "The ferry leaves at nine")


async def test_what_was_recalled_meanwhile_waits_for_the_database_and_holds_up_nothing(
    api: FastAPI, breakable: Breakable
) -> None:
    database = api.state.services.tenants._database
    recalls = Recalls(database, lambda: datetime.now(UTC))
    scopes = [Scope(a_tenant()) for _ in range(3)]
    for scope in scopes:
        recalls.note(scope, [uuid4()])

    async with breakable.away():
        assert await recalls.flush() == 0
        assert sorted(recalls._waiting) == sorted(scope.tenant for scope in scopes)

    async with a_client(api, a_tenant()) as client:
        await back(client)
    await recalls.flush()
    assert recalls._waiting == {}
