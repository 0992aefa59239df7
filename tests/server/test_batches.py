"""POST /memory/add/batch."""

import asyncio
from random import Random
from uuid import uuid4

import httpx2
import pytest

from openmemory.app import Logins
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from tests.server.asking import fields, listed, problem, sent, told

GOOD = {"content": "The ferry leaves at nine"}
BAD = [{"content": ""}, {"content": "a\0b"}, {"content": "a\ud800b"}, {"sector": "x", "content": "x"}, 7, None, []]


async def test_a_batch_answers_in_order(me: httpx2.AsyncClient) -> None:
    items = [{"content": f"Memory number {number}", "id": str(uuid4())} for number in range(25)]

    response = await me.post("/memory/add/batch", json={"items": items})

    assert response.status_code == 200
    answer = response.json()
    assert answer.keys() == {"results"}
    assert [one["id"] for one in answer["results"]] == [item["id"] for item in items]
    assert all(one["deduplicated"] is False for one in answer["results"])
    assert await listed(me) == [item["content"] for item in reversed(items)]


async def test_what_is_said_twice_in_a_batch_is_kept_once(me: httpx2.AsyncClient) -> None:
    response = await me.post("/memory/add/batch", json={"items": [GOOD, GOOD]})

    first, second = response.json()["results"]
    assert (first["deduplicated"], second["deduplicated"]) == (False, True)
    assert first["id"] == second["id"]


@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_item_refuses_all_and_is_named_by_its_place(me: httpx2.AsyncClient, bad: object) -> None:
    response = await sent(me, "/memory/add/batch", {"items": [GOOD, bad]})

    assert all(name.startswith("items[1]") for name in fields(response))
    assert await listed(me) == []


async def test_an_id_that_is_taken_refuses_all(me: httpx2.AsyncClient) -> None:
    taken = await told(me, "Here already")

    response = await me.post("/memory/add/batch", json={"items": [GOOD, {"content": "New", "id": taken}]})

    problem(response, 409, "memory-exists")
    assert await listed(me) == ["Here already"]


@pytest.mark.parametrize(("field", "values"), [("embedding", [0.5, *[""] * 3_990]), ("tags", ["a", *[7] * 63])])
async def test_of_many_bad_values_in_a_list_the_first_is_named(
    me: httpx2.AsyncClient, field: str, values: list[object]
) -> None:
    body = {"items": [{"content": "x", field: values}] * 3}
    first = [f"items[{place}].{field}[1]" for place in range(3)]

    whole = await me.post("/memory/add/batch", json=body)
    partial = await me.post("/memory/add/batch", json={**body, "partial": True})

    assert fields(whole) == first
    assert [one["field"] for refused in partial.json()["results"] for one in refused["errors"]] == first


@pytest.mark.parametrize("bad", [*BAD, {"content": "x", "embedding": [1.0]}])
async def test_a_partial_batch_keeps_what_can_be_kept(me: httpx2.AsyncClient, bad: object) -> None:
    response = await sent(me, "/memory/add/batch", {"items": [GOOD, bad, {"content": "Another"}], "partial": True})

    assert response.status_code == 200, response.text
    kept, refused, also_kept = response.json()["results"]
    assert kept["id"]
    assert also_kept["id"]
    assert refused.keys() == {"error", "title", "type", "status", "code", "errors"}
    assert (refused["type"], refused["status"], refused["code"]) == ("/problems/malformed", 400, "malformed")
    assert all(one["field"].startswith("items[1]") and one["message"] for one in refused["errors"])
    assert await listed(me) == ["Another", GOOD["content"]]


@pytest.mark.parametrize("bad", [None, 5, ["content"]])
async def test_what_is_no_memory_in_a_partial_batch_is_refused_as_in_a_whole_one(
    me: httpx2.AsyncClient, bad: object
) -> None:
    whole = await sent(me, "/memory/add/batch", {"items": [GOOD, bad]})
    partial = await sent(me, "/memory/add/batch", {"items": [GOOD, bad], "partial": True})

    assert partial.json()["results"][1]["errors"] == whole.json()["errors"]


async def test_a_partial_batch_says_which_id_is_taken(me: httpx2.AsyncClient) -> None:
    taken = await told(me, "Here already")
    items = [{"content": "New", "id": taken}, GOOD]

    response = await me.post("/memory/add/batch", json={"items": [*reversed(items), {}], "partial": True})

    kept, refused, _ = response.json()["results"]
    assert refused["type"] == "/problems/memory-exists"
    assert (refused["status"], refused["code"]) == (409, "memory-exists")
    said = f"{taken} is taken by another memory of this tenant"
    assert refused["errors"] == [{"field": "items[1].id", "message": said}]
    assert refused["error"] == f"items[1].id: {said}"
    assert kept["id"]


async def test_a_partial_batch_names_an_id_also_where_its_holder_is_gone_again(
    me: httpx2.AsyncClient, logins: Logins, names: Names
) -> None:
    taken = await told(me, "Here for a moment", sector="semantic")
    with connected(logins.owner) as owner, owner.transaction():
        # What refuses the id stays, and no memory is found that has it: as after a race with one that is forgotten.
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(f"DELETE FROM {names.table(names.memories)} WHERE id = %s".encode(), [taken])
    items = [GOOD, {"content": "New", "id": taken, "sector": "semantic"}]

    response = await me.post("/memory/add/batch", json={"items": items, "partial": True})

    kept, refused = response.json()["results"]
    said = f"{taken} is taken by another memory of this tenant"
    assert refused["errors"] == [{"field": "items[1].id", "message": said}]
    assert refused["error"] == f"items[1].id: {said}"
    assert kept["id"]


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("items", [None, [], {}, "abc", [GOOD] * 1_001])
async def test_a_batch_has_1_to_1000_items(me: httpx2.AsyncClient, items: object, partial: bool) -> None:
    response = await me.post("/memory/add/batch", json={"items": items, "partial": partial})

    assert fields(response) == ["items"]


async def test_a_batch_may_have_1000_items(me: httpx2.AsyncClient) -> None:
    items = [{"content": f"Memory number {number}"} for number in range(1_000)]

    response = await me.post("/memory/add/batch", json={"items": items})

    assert len(response.json()["results"]) == 1_000


@pytest.mark.parametrize("partial", ["true", 1, "yes", None, []])
async def test_partial_is_true_or_false(me: httpx2.AsyncClient, partial: object) -> None:
    response = await me.post("/memory/add/batch", json={"items": [GOOD], "partial": partial})

    assert fields(response) == ["partial"]


@pytest.mark.parametrize("body", [[], "abc", 7, None, True])
async def test_a_batch_is_an_object(me: httpx2.AsyncClient, body: object) -> None:
    response = await sent(me, "/memory/add/batch", body)

    problem(response, 400, "malformed")


async def test_a_batch_may_be_larger_than_another_request(me: httpx2.AsyncClient) -> None:
    items = [{"content": f"{number} " + "x" * 90_000} for number in range(12)]

    response = await me.post("/memory/add/batch", json={"items": items})

    assert response.status_code == 200


async def test_a_taken_id_is_named_by_its_place(me: httpx2.AsyncClient) -> None:
    taken = str(uuid4())
    await me.post("/memory/add", json={"content": "The first of its id", "id": taken})
    items = [{"content": "A new one"}, {"content": "The second of its id", "id": taken}]

    refused = await me.post("/memory/add/batch", json={"items": items})

    assert refused.status_code == 409
    assert refused.json()["detail"].startswith(f"items[1].id: {taken} is taken")
    assert [one["field"] for one in refused.json()["errors"]] == ["items[1].id"]


async def test_a_memory_told_again_under_its_id_takes_it_from_nobody(me: httpx2.AsyncClient) -> None:
    alpha, beta = ({"content": word, "id": str(uuid4())} for word in ("alpha", "beta"))
    for one in (alpha, beta):
        await me.post("/memory/add", json=one)
    with_a_free_id = alpha | {"id": str(uuid4())}
    items = [alpha, with_a_free_id, {"content": "gamma", "id": beta["id"]}]

    refused = await me.post("/memory/add/batch", json={"items": items})

    assert refused.status_code == 409
    assert refused.json()["detail"].startswith(f"items[2].id: {beta['id']} is taken")


async def test_what_the_service_refuses_of_a_partial_batch_is_named_by_its_place(me: httpx2.AsyncClient) -> None:
    items = [GOOD, {"content": "short", "embedding": [1.0]}]

    response = await me.post("/memory/add/batch", json={"items": items, "partial": True})

    _, short = response.json()["results"]
    assert [one["field"] for one in short["errors"]] == ["items[1].embedding"]
    assert (short["status"], short["code"]) == (400, "malformed")


async def test_batches_that_say_the_same_at_once_in_many_orders_are_all_answered(me: httpx2.AsyncClient) -> None:
    texts = [f"Line {number}" for number in range(300)]
    orders = [Random(seed).sample(texts, len(texts)) for seed in range(8)]  # noqa: S311 -- no secret

    responses = await asyncio.gather(
        *(me.post("/memory/add/batch", json={"items": [{"content": text} for text in order]}) for order in orders)
    )

    assert [response.status_code for response in responses] == [200] * 8
    results = [one for response in responses for one in response.json()["results"]]
    assert len({one["id"] for one in results}) == 300
    assert sum(not one["deduplicated"] for one in results) == 300
