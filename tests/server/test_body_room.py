"""The bodies of all tenants together have so much room; one tenant alone never fills it, nor do several for others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import httpx2
import pytest
from fastapi import FastAPI

from tests.factories import a_tenant
from tests.server.asking import a_client, problem
from tests.server.conftest import Started

JSON = {"content-type": "application/json"}
SIZE = 256 * 1024
BODY = json.dumps({"content": "x", "padding": "y" * (SIZE - 100)}).encode()
SMALL = json.dumps({"content": "x", "padding": "y" * (32 * 1024)}).encode()


class Slow:
    """A body of which all but the end has arrived when `here` is set, and the end once `may_end` is."""

    def __init__(self) -> None:
        self.here = asyncio.Event()
        self.may_end = asyncio.Event()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield BODY[:-1]
        self.here.set()  # the next part is asked for when this one was counted
        await self.may_end.wait()
        yield BODY[-1:]

    async def send(self, app: FastAPI, tenant: str, **headers: str) -> httpx2.Response:
        """Send it as an add."""
        async with a_client(app, tenant) as client:
            return await client.post("/memory/add", content=self.parts(), headers=JSON | headers)


async def held(app: FastAPI, tenant: str, count: int, tasks: asyncio.TaskGroup, **headers: str) -> list["Held"]:
    """Send slow bodies one after the other, each until it is here or refused."""
    all_held = []
    for _ in range(count):
        slow = Slow()
        sending = tasks.create_task(slow.send(app, tenant, **headers))
        here = tasks.create_task(slow.here.wait())
        await asyncio.wait({sending, here}, return_when=asyncio.FIRST_COMPLETED)
        all_held.append(Held(slow, sending))
    return all_held


class Held(NamedTuple):
    """A body that is on its way, or was refused."""

    slow: Slow
    sending: asyncio.Task[httpx2.Response]

    async def end(self) -> int:
        """Let it end, and return the status of its answer."""
        self.slow.here.set()
        self.slow.may_end.set()
        return (await self.sending).status_code


@pytest.fixture
async def app(started: Started) -> AsyncIterator[FastAPI]:
    """Yield an application in which a tenant may have one body here, and all together therefore two."""
    async with started(OM_TENANT_CONCURRENCY="1", OM_MAX_BODY_BYTES=str(SIZE), OM_MAX_BATCH_BYTES="1KiB") as built:
        yield built


async def test_more_than_fits_is_refused_until_there_is_room_again(app: FastAPI) -> None:
    slow = Slow()
    sending = asyncio.create_task(slow.send(app, a_tenant()))
    await slow.here.wait()

    async with a_client(app, a_tenant()) as other:
        refused = await other.post("/memory/add", content=BODY, headers=JSON)
        asked = await other.get("/memory/all")
        slow.may_end.set()
        answer = await sending
        taken = await other.post("/memory/add", content=BODY, headers=JSON)

    problem(refused, 503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert (asked.status_code, answer.status_code, taken.status_code) == (200, 200, 200)


@pytest.fixture
async def roomy(started: Started) -> AsyncIterator[FastAPI]:
    """Yield an application in which a tenant may have eight bodies here, and all together sixteen."""
    async with started(OM_TENANT_CONCURRENCY="8", OM_MAX_BODY_BYTES=str(SIZE), OM_MAX_BATCH_BYTES="1KiB") as built:
        yield built


async def test_a_tenant_alone_has_room_for_all_its_bodies(roomy: FastAPI) -> None:
    async with asyncio.TaskGroup() as tasks:
        mine = await held(roomy, a_tenant(), 8, tasks)

        assert [await one.end() for one in mine] == [200] * 8


async def test_tenants_that_take_all_they_can_shut_nobody_out(roomy: FastAPI) -> None:
    async with asyncio.TaskGroup() as tasks:
        greedy = [one for _ in range(2) for one in await held(roomy, a_tenant(), 8, tasks)]
        async with a_client(roomy, a_tenant()) as other:
            answers = [
                await other.post("/memory/query", content=b'{"query": "x"}', headers=JSON),
                await other.post("/memory/add", content=SMALL, headers=JSON),
                await other.post("/memory/add", content=BODY, headers=JSON),
            ]
        for one in greedy:
            await one.end()

    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_a_body_that_was_let_in_is_not_refused_for_one_that_came_after_it(roomy: FastAPI) -> None:
    length = {"content-length": str(len(BODY))}
    async with asyncio.TaskGroup() as tasks:
        before, after = [await held(roomy, a_tenant(), 8, tasks, **length) for _ in range(2)]

        assert 503 in [await one.end() for one in after if one.sending.done()]
        assert [await one.end() for one in before] == [200] * 8
        assert {await one.end() for one in after} == {200, 503}


async def test_small_bodies_are_let_in_whatever_room_is_left(app: FastAPI) -> None:
    async with asyncio.TaskGroup() as tasks:
        greedy = [one for _ in range(12) for one in await held(app, a_tenant(), 1, tasks)]
        async with a_client(app, a_tenant()) as other:
            answer = await other.post("/memory/add", content=SMALL, headers=JSON)
        for one in greedy:
            await one.end()

    assert answer.status_code == 200, answer.text


async def test_the_room_of_a_client_that_leaves_or_is_refused_is_free_again(app: FastAPI) -> None:
    for _ in range(5):
        slow = Slow()
        sending = asyncio.create_task(slow.send(app, a_tenant()))
        await slow.here.wait()
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        async with a_client(app, a_tenant()) as client:
            problem(await client.post("/memory/add", content=BODY[:-1], headers=JSON), 400, "malformed")

    async with a_client(app, a_tenant()) as client:
        assert (await client.post("/memory/add", content=BODY, headers=JSON)).status_code == 200
