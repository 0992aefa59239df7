"""Writes that come twice with one Idempotency-Key."""

from collections.abc import Awaitable, Callable

import anyio
import httpx2
import pytest
from fastapi import FastAPI

from openmemory.service.memories import Memories
from tests.factories import a_tenant
from tests.server.asking import a_client, fields, listed, problem, told

Write = Callable[[httpx2.AsyncClient, str, dict[str, str]], Awaitable[httpx2.Response]]
KEY = {"idempotency-key": "key-1"}

WRITES: dict[str, Write] = {
    "add": lambda client, _, headers: client.post("/memory/add", json={"content": "New"}, headers=headers),
    "batch": lambda client, _, headers: client.post(
        "/memory/add/batch", json={"items": [{"content": "New"}, {"content": "Newer"}]}, headers=headers
    ),
    "partial batch": lambda client, _, headers: client.post(
        "/memory/add/batch", json={"items": [{"content": "New"}, {}], "partial": True}, headers=headers
    ),
    "patch": lambda client, memory, headers: client.patch(f"/memory/{memory}", json={"tags": ["new"]}, headers=headers),
    "delete": lambda client, memory, headers: client.delete(f"/memory/{memory}", headers=headers),
    "reinforce": lambda client, memory, headers: client.post("/memory/reinforce", json={"id": memory}, headers=headers),
    "forget user": lambda client, _, headers: client.delete("/users/ada/memories", headers=headers),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_the_same_write_again_is_answered_and_not_done(me: httpx2.AsyncClient, write: Write) -> None:
    memory = await told(me, "Old", user_id="ada")
    first = await write(me, memory, KEY)
    after = (await me.get("/memory/all")).json()

    again = await write(me, memory, KEY)

    assert first.status_code == again.status_code == 200
    assert again.json() == first.json()
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert [one["version"] for one in (await me.get("/memory/all")).json()["items"]] == [
        one["version"] for one in after["items"]
    ]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_another_request_under_the_same_key_is_refused(me: httpx2.AsyncClient, write: Write) -> None:
    memory = await told(me, "Old", user_id="ada")
    await me.post("/memory/add", json={"content": "Something else"}, headers=KEY)

    problem(await write(me, memory, KEY), 422, "idempotency-mismatch")

    assert await listed(me) == ["Something else", "Old"]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_without_a_key_a_write_is_done_again(me: httpx2.AsyncClient, write: Write) -> None:
    memory = await told(me, "Old", user_id="ada")

    assert "idempotent-replayed" not in (await write(me, memory, {})).headers
    assert "idempotent-replayed" not in (await write(me, memory, {})).headers


async def test_another_if_match_is_another_request(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "Old")

    async def change(version: str) -> httpx2.Response:
        return await me.patch(f"/memory/{memory}", json={"tags": ["new"]}, headers=KEY | {"if-match": version})

    first, again, other = await change('"1"'), await change('"1"'), await change('"99"')

    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    problem(other, 422, "idempotency-mismatch")


async def test_each_tenant_has_its_own_keys(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    mine = await me.post("/memory/add", json={"content": "New"}, headers=KEY)

    theirs = await other.post("/memory/add", json={"content": "Something else"}, headers=KEY)

    assert "idempotent-replayed" not in theirs.headers
    assert theirs.json()["id"] != mine.json()["id"]


async def test_a_write_still_running_is_a_conflict(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = anyio.Event(), anyio.Event()
    memories: Memories = api.state.services.memories
    delete_user = memories.delete_user

    async def held(*args: object) -> int:
        begun.set()
        await may_end.wait()
        return await delete_user(*args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(memories, "delete_user", held)
    async with a_client(api, a_tenant()) as client, anyio.create_task_group() as tasks:
        answers: list[httpx2.Response] = []

        async def first() -> None:
            answers.append(await client.delete("/users/ada/memories", headers=KEY))

        tasks.start_soon(first)
        await begun.wait()
        problem(await client.delete("/users/ada/memories", headers=KEY), 409, "idempotency-conflict")
        may_end.set()
    assert answers[0].json() == {"ok": True, "deleted": 0}


@pytest.mark.parametrize("body", [{"content": "a", "embedding": [1.0]}, {"content": ""}])
async def test_a_failed_write_leaves_its_key_free(me: httpx2.AsyncClient, body: dict[str, object]) -> None:
    assert (await me.post("/memory/add", json=body, headers=KEY)).status_code == 400

    response = await me.post("/memory/add", json={"content": "New"}, headers=KEY)

    assert response.status_code == 200
    assert "idempotent-replayed" not in response.headers


async def test_a_crash_in_a_write_leaves_its_key_free(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> int:
        raise RuntimeError

    async with a_client(api, a_tenant()) as client:
        with monkeypatch.context() as patched:
            patched.setattr(api.state.services.memories, "delete_user", broken)
            problem(await client.delete("/users/ada/memories", headers=KEY), 500, "internal")

        assert (await client.delete("/users/ada/memories", headers=KEY)).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_1_to_255_bytes(me: httpx2.AsyncClient, key: str) -> None:
    response = await me.post("/memory/add", json={"content": "New"}, headers={"idempotency-key": key})

    assert fields(response) == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["x" * 255, "a b", "ключ".encode(), "é".encode() * 127, b"\xff\x01"])
async def test_any_other_key_will_do(me: httpx2.AsyncClient, key: str | bytes) -> None:
    headers = {b"idempotency-key": key if isinstance(key, bytes) else key.encode()}

    answers = [await me.post("/memory/add", json={"content": "New"}, headers=headers) for _ in range(2)]

    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[0].json() == answers[1].json()


async def test_a_write_has_one_key(me: httpx2.AsyncClient) -> None:
    for path in ("/memory/add", "/memory/reinforce"):
        body = {"content": "The ferry leaves", "id": "00000000-0000-4000-8000-000000000000"}
        headers = [("idempotency-key", "one"), ("idempotency-key", "two")]

        response = await me.post(path, json=body, headers=headers)

        assert fields(response) == ["Idempotency-Key"]
