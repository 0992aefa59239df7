"""A request that the server has no time left for is told so."""

import asyncio
import json

from starlette.types import Message, Receive, Scope, Send

from openmemory.server.problems import Caught


async def test_a_request_that_is_cut_off_at_the_end_is_told_that_the_server_stops() -> None:
    at_work, sent = asyncio.Event(), list[Message]()

    async def endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
        at_work.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/memory/add", "headers": []}
    serving = asyncio.create_task(Caught(endless)(scope, receive, send))
    await at_work.wait()
    serving.cancel()  # as Uvicorn does once it has waited long enough
    await serving

    start, body = sent
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["type"] == "/problems/stopping"
