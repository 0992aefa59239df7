"""What one tenant may take at once, and that it is given back."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.lowlevel
import httpx2
import pytest
from fastapi import FastAPI

from openmemory.app import Logins
from openmemory.core.memory import Asked
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseUnavailable, Overloaded, RateLimited
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from openmemory.service.search import Found, Search
from openmemory.service.shares import SearchTurns, Shares
from tests.factories import a_tenant
from tests.server.asking import a_client, asked, problem
from tests.server.conftest import Started
from tests.server.serving import PATIENCE_S

QUESTION = {"query": "ferry"}


class Held:
    """Questions that wait until they may end."""

    def __init__(self, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
        self._begun, self._may_end = anyio.create_memory_object_stream[str](100)[0:2], anyio.Event()
        self._find = search.find
        monkeypatch.setattr(search, "find", self._held)

    async def _held(self, scope: Scope, question: Asked) -> Found:
        if question.text == "held":
            self._begun[0].send_nowait(scope.tenant)
            await self._may_end.wait()
        return await self._find(scope, question)

    async def begun(self, count: int) -> None:
        """Return when `count` more questions are held."""
        for _ in range(count):
            await self._begun[1].receive()

    def end(self) -> None:
        """Let every question go on."""
        self._may_end.set()
        for stream in self._begun:
            stream.close()


@asynccontextmanager
async def holding(
    api: FastAPI, tenant: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[httpx2.Response]]:
    """Hold `count` of a tenant's places inside the block; yields the answers, which come at its end."""
    held, answers = Held(api.state.services.search, monkeypatch), list[httpx2.Response]()

    async def ask() -> None:
        async with a_client(api, tenant) as client:
            answers.append(await client.post("/memory/query", json={"query": "held"}))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(ask)
        await held.begun(count)
        try:
            yield answers
        finally:
            held.end()


async def test_over_its_share_a_tenant_is_told_when_to_come_back(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = a_tenant()
    async with started(OM_TENANT_CONCURRENCY="2", OM_TENANT_WAIT_MS="0") as api, a_client(api, tenant) as client:
        async with holding(api, tenant, 2, monkeypatch) as answers:
            for method, path in (("POST", "/memory/query"), ("GET", "/memory/all"), ("GET", "/sectors")):
                response = await client.request(method, path, json=QUESTION if method == "POST" else None)

                found = problem(response, 429, "rate-limited")
                assert int(response.headers["retry-after"]) >= 1
                assert "OM_TENANT_CONCURRENCY" in found["detail"]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert await asked(client, **QUESTION) == []


async def test_one_tenants_flood_does_not_stop_another(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    flooding = a_tenant()
    async with (
        started(OM_TENANT_CONCURRENCY="2", OM_TENANT_WAIT_MS="0") as api,
        a_client(api, a_tenant()) as other,
        holding(api, flooding, 2, monkeypatch),
        a_client(api, flooding) as more,
    ):
        flood = [await more.post("/memory/query", json=QUESTION) for _ in range(20)]

        assert {response.status_code for response in flood} == {429}
        assert await asked(other, **QUESTION) == []
        assert (await more.get("/health")).status_code == 200


async def test_a_request_waits_for_a_place_that_becomes_free(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = a_tenant()
    async with started(OM_TENANT_CONCURRENCY="1", OM_TENANT_WAIT_MS="60000") as api, a_client(api, tenant) as client:
        waited = list[httpx2.Response]()

        async def wait() -> None:
            waited.append(await client.post("/memory/query", json=QUESTION))

        async with anyio.create_task_group() as tasks, holding(api, tenant, 1, monkeypatch):
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert waited == []

    assert [response.status_code for response in waited] == [200]


async def test_a_body_that_is_still_arriving_has_a_place(started: Started) -> None:
    begun, rest = anyio.Event(), anyio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"query": '
        begun.set()
        await rest.wait()
        yield b'"ferry"}'

    tenant, answers = a_tenant(), list[httpx2.Response]()
    async with started(OM_TENANT_CONCURRENCY="1", OM_TENANT_WAIT_MS="0") as api, a_client(api, tenant) as client:

        async def ask() -> None:
            json_body = {"content-type": "application/json"}
            answers.append(await client.post("/memory/query", content=slowly(), headers=json_body))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await begun.wait()
            problem(await client.post("/memory/query", json=QUESTION), 429, "rate-limited")
            rest.set()

    assert [answer.status_code for answer in answers] == [200]


async def test_places_are_returned_after_errors(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(OM_TENANT_CONCURRENCY="1", OM_TENANT_WAIT_MS="0") as api, a_client(api, a_tenant()) as client:
        for error, status in ((DatabaseUnavailable("away"), 503), (RuntimeError(), 500)):
            with monkeypatch.context() as patched:

                async def broken(*_: object, error: Exception = error) -> Found:
                    raise error

                patched.setattr(api.state.services.search, "find", broken)
                for _ in range(3):
                    assert (await client.post("/memory/query", json=QUESTION)).status_code == status
        for path in ("/memory/nonsense", "/memory/all?limit=0"):
            for _ in range(3):
                assert (await client.get(path)).status_code in {400, 404}

        assert await asked(client, **QUESTION) == []


async def test_a_place_is_returned_when_its_holder_or_one_who_waits_is_cancelled() -> None:
    shares = Shares(1, 60)
    held = anyio.Event()

    async def hold() -> None:
        async with shares.turn("a"):
            held.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as holder:
        holder.start_soon(hold)
        await held.wait()
        async with anyio.create_task_group() as waiting:
            for _ in range(3):
                waiting.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
        holder.cancel_scope.cancel()

    async with Shares(1, 0).turn("a"), shares.turn("a"):
        pass
    assert shares._busy == {}  # nothing is kept of a tenant that asks for nothing


async def test_a_tenants_places_are_counted_exactly() -> None:
    shares = Shares(3, 0)

    async with shares.turn("a"), shares.turn("a"), shares.turn("a"):
        async with shares.turn("b"):
            pass
        with pytest.raises(RateLimited):
            async with shares.turn("a"):
                pass
    async with shares.turn("a"), shares.turn("a"), shares.turn("a"):
        pass


async def test_half_of_the_searches_at_most_are_one_tenants() -> None:
    turns = SearchTurns(5, 0)

    async with turns.turn("a"), turns.turn("a"):
        with pytest.raises(RateLimited):
            async with turns.turn("a"):
                pass
        async with turns.turn("b"), turns.turn("b"), turns.turn("c"):
            with pytest.raises(Overloaded):
                async with turns.turn("c"):
                    pass
    async with SearchTurns(1, 0).turn("a"), turns.turn("a"), turns.turn("a"):
        pass


@contextmanager
def locked(logins: Logins, names: Names) -> Iterator[Callable[[], int]]:
    """Keep every search waiting in PostgreSQL inside the block; yield what tells how many wait there."""
    table = names.table(names.vectors)

    def waiting() -> int:
        asked = (
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = current_database() AND l.relation = %s::regclass AND NOT l.granted"
        )
        found = connection.execute(asked, [table]).fetchone()
        return int(found[0]) if found else 0

    with connected(logins.owner) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield waiting


async def test_while_one_tenants_searches_fill_its_half_another_still_finds_a_place(
    logins: Logins, names: Names, started: Started
) -> None:
    flooding, other = a_tenant(), a_tenant()
    answers: dict[str, list[httpx2.Response]] = {flooding: [], other: []}
    limits = {"OM_TENANT_CONCURRENCY": "20", "OM_TENANT_WAIT_MS": "300", "OM_STATEMENT_TIMEOUT_MS": "20000"}
    async with started(**limits, OM_PG_DSN="postgresql://", OM_PG_POOL_MAX="5") as api:  # four to search

        async def ask(tenant: str) -> None:
            async with a_client(api, tenant) as client:
                answers[tenant].append(await client.post("/memory/query", json=QUESTION))

        for tenant in (flooding, other):
            async with a_client(api, tenant) as client:
                assert await asked(client, **QUESTION) == []
                answers[tenant].clear()
        async with anyio.create_task_group() as tasks:
            with locked(logins, names) as waiting, anyio.fail_after(PATIENCE_S):
                for _ in range(10):
                    tasks.start_soon(ask, flooding)
                while len(answers[flooding]) < 8:
                    await anyio.lowlevel.checkpoint()
                for _ in range(2):
                    tasks.start_soon(ask, other)
                while waiting() < 4:
                    await anyio.lowlevel.checkpoint()

    refused = [answer for answer in answers[flooding] if answer.status_code != 200]
    assert [answer.status_code for answer in refused] == [429] * 8, refused[-1].text
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert "searches" in problem(answer, 429, "rate-limited")["detail"]
    assert [answer.status_code for answer in answers[other]] == [200, 200]


async def test_where_all_tenants_search_at_once_the_server_is_overloaded_and_its_database_is_not_away(
    logins: Logins, names: Names, started: Started
) -> None:
    tenants, answers = [a_tenant() for _ in range(3)], list[httpx2.Response]()
    limits = {"OM_TENANT_WAIT_MS": "0", "OM_STATEMENT_TIMEOUT_MS": "20000", "OM_PG_POOL_MAX": "5"}  # four to search
    async with started(**limits, OM_PG_DSN="postgresql://") as api, a_client(api, tenants[2]) as client:

        async def ask(tenant: str) -> None:
            async with a_client(api, tenant) as client:
                answers.append(await client.post("/memory/query", json=QUESTION))

        for tenant in tenants:
            await ask(tenant)
        answers.clear()
        async with anyio.create_task_group() as tasks:
            with locked(logins, names) as waiting, anyio.fail_after(PATIENCE_S):
                for tenant in tenants[:2]:
                    for _ in range(2):
                        tasks.start_soon(ask, tenant)
                while waiting() < 4:
                    await anyio.lowlevel.checkpoint()
                refused = await client.post("/memory/query", json=QUESTION)
                ready = await client.get("/ready")

    assert "all places for searches are taken (4)" in problem(refused, 503, "overloaded")["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    assert ready.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 4
