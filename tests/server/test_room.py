"""The bodies of all tenants together have so much room; one tenant alone never fills it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import pytest
from fastapi import FastAPI

from tests.factories import a_tenant
from tests.server.asking import a_client, problem
from tests.server.conftest import Started

JSON = {"content-type": "application/json"}
SIZE = 64 * 1024
BODY = json.dumps({"content": "x", "padding": "y" * (SIZE - 100)}).encode()


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

    async def send(self, app: FastAPI, tenant: str) -> httpx2.Response:
        """Send it as an add."""
        async with a_client(app, tenant) as client:
            return await client.post("/memory/add", content=self.parts(), headers=JSON)


@pytest.fixture
async def app(started: Started) -> AsyncIterator[FastAPI]:
    """Yield an application in which a tenant may have one body here, and all together therefore two."""
    async with started(OM_TENANT_CONCURRENCY="1", OM_MAX_BODY_BYTES=str(SIZE), OM_MAX_BATCH_BYTES="1KiB") as built:
        yield built


async def test_more_than_fits_is_refused_until_there_is_room_again(app: FastAPI) -> None:
    slow = [Slow(), Slow()]
    sending = [asyncio.create_task(one.send(app, a_tenant())) for one in slow]
    for one in slow:
        await one.here.wait()

    async with a_client(app, a_tenant()) as third:
        refused = await third.post("/memory/add", content=BODY, headers=JSON)
        asked = await third.get("/memory/all")
        for one in slow:
            one.may_end.set()
        answers = [await one for one in sending]
        taken = await third.post("/memory/add", content=BODY, headers=JSON)

    problem(refused, 503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert (asked.status_code, taken.status_code) == (200, 200)
    assert [answer.status_code for answer in answers] == [200, 200]


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
