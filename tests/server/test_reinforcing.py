"""POST /memory/reinforce."""

from uuid import uuid4

import httpx2
import pytest

from tests.server.asking import fields, problem, read, sent, told


@pytest.mark.parametrize(
    ("boost", "expected"), [({}, None), ({"boost": 0.5}, 0.75), ({"boost": 1}, 1), ({"boost": 0}, 0.25)]
)
async def test_reinforcing_makes_a_memory_more_salient(
    me: httpx2.AsyncClient, boost: dict[str, float], expected: float | None
) -> None:
    memory = await told(me, "The ferry leaves at nine", salience=0.25)

    response = await me.post("/memory/reinforce", json={"id": memory, **boost})

    assert response.json() == {"ok": True}
    salience = (await read(me, memory))["salience"]
    assert salience > 0.25 if expected is None else salience == pytest.approx(expected, abs=1e-3)


async def test_reinforcing_wants_a_memory_that_is_there(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    theirs = await told(other, "The ferry leaves at nine")

    for memory in (theirs, str(uuid4()), "nonsense", "\0"):
        problem(await sent(me, "/memory/reinforce", {"id": memory}), 404, "memory-not-found")


async def test_reinforcing_another_users_memory_is_forbidden(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.post("/memory/reinforce", json={"id": memory, "user_id": "ben"})

    problem(response, 403, "another-users-memory")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": ""}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"id": 7}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "x", "boost": 2}, "boost"),
    ],
)
async def test_a_bad_reinforcement_is_malformed(me: httpx2.AsyncClient, body: dict[str, object], field: str) -> None:
    assert fields(await sent(me, "/memory/reinforce", body)) == [field]
