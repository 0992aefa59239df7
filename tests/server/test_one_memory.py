"""GET, PATCH and DELETE /memory/{id}."""

import json
from uuid import uuid4

import httpx2
import pytest

from tests.server.asking import asked, fields, listed, problem, read, told

NO_ID = ["nonsense", "7", "%20", "00000000-0000-4000-8000-00000000000", "x" * 200, "%F0%9F%8E%88"]
JSON = {"content-type": "application/json"}
CALLS = ["GET", "PATCH", "DELETE"]


async def call(client: httpx2.AsyncClient, method: str, memory: str, **params: str) -> httpx2.Response:
    """Make one of the calls on a memory."""
    body = {"salience": 0.5} if method == "PATCH" else None
    return await client.request(method, f"/memory/{memory}", json=body, params=params)


async def test_a_memory_is_read_with_its_version_as_etag(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.get(f"/memory/{memory}")

    assert response.json()["content"] == "The ferry leaves at nine"
    assert response.headers["etag"] == '"1"'


@pytest.mark.parametrize("memory", NO_ID)
@pytest.mark.parametrize("method", CALLS)
async def test_what_is_no_id_is_no_memory(me: httpx2.AsyncClient, method: str, memory: str) -> None:
    problem(await call(me, method, memory), 404, "memory-not-found")


async def test_a_sector_is_named_in_the_metadata_as_on_add(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "I went to Paris yesterday", metadata={"sector": "procedural"})

    await me.patch(f"/memory/{memory}", json={"metadata": {"sector": "emotional"}})
    corrected = await read(me, memory)
    await me.patch(f"/memory/{memory}", json={"metadata": {"sector": "a word of my own"}})

    kept = await read(me, memory)
    assert corrected["primary_sector"] == kept["primary_sector"] == "emotional"
    assert kept["metadata"] == {"sector": "a word of my own"}


@pytest.mark.parametrize("method", CALLS)
async def test_another_tenants_memory_is_not_found_just_like_none(
    me: httpx2.AsyncClient, other: httpx2.AsyncClient, method: str
) -> None:
    theirs, nowhere = await told(other, "The ferry leaves at nine", user_id="ada"), str(uuid4())

    for params in ({}, {"user_id": "ada"}, {"user_id": "ben"}):
        answers = [await call(me, method, memory, **params) for memory in (theirs, nowhere)]

        texts = [answer.text.replace(memory, "…") for answer, memory in zip(answers, (theirs, nowhere), strict=True)]
        problem(answers[0], 404, "memory-not-found")
        assert texts[0] == texts[1]
    assert await listed(other) == ["The ferry leaves at nine"]


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("owner", ["ada", None])
async def test_another_users_memory_is_forbidden(me: httpx2.AsyncClient, method: str, owner: str | None) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id=owner)

    problem(await call(me, method, memory, user_id="ben"), 403, "another-users-memory")

    assert (await read(me, memory))["version"] == 1


@pytest.mark.parametrize("method", CALLS)
async def test_a_user_reaches_its_own_memory(me: httpx2.AsyncClient, method: str) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    assert (await call(me, method, memory, user_id="ada")).status_code == 200


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("user", ["", "\0", "x" * 129])
async def test_a_bad_user_is_malformed(me: httpx2.AsyncClient, method: str, user: str) -> None:
    assert fields(await call(me, method, str(uuid4()), user_id=user)) == ["user_id"]


async def test_a_patch_changes_what_it_names_and_nothing_else(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", tags=["old"], metadata={"a": 1}, user_id="ada")

    response = await me.patch(f"/memory/{memory}", json={"tags": ["new"], "metadata": {"b": 2}})

    assert response.json() == {"id": memory, "updated": True, "version": 2}
    now = await read(me, memory)
    assert (now["tags"], now["metadata"], now["version"]) == (["new"], {"b": 2}, 2)
    assert (now["content"], now["user_id"]) == ("The ferry leaves at nine", "ada")
    assert now["updated_at"] >= now["created_at"]


@pytest.mark.parametrize(
    ("metadata", "left"),
    [
        ({"b": 2}, {"b": 2, "openmemory_old": {"salience": 1.7}}),
        ({}, {"openmemory_old": {"salience": 1.7}}),
        ({"b": 2, "openmemory_old": {"mine": 1}}, {"b": 2, "openmemory_old": {"mine": 1}}),
        ({"b": 2, "openmemory_old": None}, {"b": 2}),
    ],
)
async def test_new_metadata_leave_what_an_upgrade_kept_unless_they_name_it(
    me: httpx2.AsyncClient, metadata: dict[str, object], left: dict[str, object]
) -> None:
    memory = await told(me, "The ferry leaves at nine", metadata={"a": 1, "openmemory_old": {"salience": 1.7}})

    answers = [(await me.patch(f"/memory/{memory}", json={"metadata": metadata})).json() for _ in range(2)]

    assert (await read(me, memory))["metadata"] == left
    assert [answer["version"] for answer in answers] == [2, 2]


async def test_what_an_upgrade_kept_stays_when_the_same_is_said_again_and_when_the_rest_is_changed(
    me: httpx2.AsyncClient,
) -> None:
    kept = {"openmemory_old": {"salience": 1.7}}
    memory = await told(me, "The ferry leaves at nine", metadata=kept)

    assert await told(me, "The ferry leaves at nine", metadata={"b": 2}) == memory
    await me.patch(f"/memory/{memory}", json={"content": "The ferry leaves at ten", "tags": ["new"], "salience": 0.5})

    assert (await read(me, memory))["metadata"] == kept


async def test_a_new_content_is_found_and_the_old_is_not(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    await me.patch(f"/memory/{memory}", json={"content": "Bees hum on the roof"})

    (match,) = await asked(me, query="bees on the roof", explain=True)
    assert match["content"] == "Bees hum on the roof"
    assert match["explain"]["lexical"] > 0
    assert (await asked(me, query="ferry", explain=True))[0]["explain"]["lexical"] == 0


async def test_a_content_that_another_memory_says_is_a_conflict(me: httpx2.AsyncClient) -> None:
    await told(me, "Bees hum on the roof", occurred_at=0)
    memory = await told(me, "The ferry leaves at nine", occurred_at=0)

    refused = await me.patch(f"/memory/{memory}", json={"content": "bees hum on the roof"})

    assert [one["field"] for one in problem(refused, 409, "memory-exists")["errors"]] == ["content"]


@pytest.mark.parametrize("if_match", ['"1"', "1", "*", ' "1" ', '"0", "1"', '"x,y" ,"1"', 'W/"1", "1"', "7,1"])
async def test_a_patch_of_the_current_version_is_made(me: httpx2.AsyncClient, if_match: str) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.patch(f"/memory/{memory}", json={"tags": ["x"]}, headers={"if-match": if_match})

    assert response.json()["version"] == 2


@pytest.mark.parametrize("body", [{"tags": ["x"]}, {"content": "Bees hum on the roof"}])
@pytest.mark.parametrize(
    "if_match", ['"0"', '"2"', '"999999999"', 'W/"1"', '"01"', '"2", "3"', '"1.0"', '"x"', '""', '"9999999999"']
)
async def test_a_patch_of_another_version_is_refused(
    me: httpx2.AsyncClient, if_match: str, body: dict[str, object]
) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.patch(f"/memory/{memory}", json=body, headers={"if-match": if_match})

    problem(response, 412, "version-changed")
    assert (await read(me, memory))["version"] == 1


@pytest.mark.parametrize("if_match", ["", "x", '"1', '"1" "2"', '*, "1"', "-1", ",", '"a b"', 'w/"1"'])
async def test_an_if_match_that_is_no_version_is_malformed(me: httpx2.AsyncClient, if_match: str) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.patch(f"/memory/{memory}", json={"tags": ["x"]}, headers={b"if-match": if_match.encode()})

    assert fields(response) == ["If-Match"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", ""),
        ("content", "\0"),
        ("content", 7),
        ("tags", "abc"),
        ("metadata", []),
        ("metadata.a.float", {"a": float("nan")}),
        ("salience", 2),
        ("user_id", ""),
    ],
)
async def test_a_bad_change_is_malformed_and_named(me: httpx2.AsyncClient, field: str, value: object) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.patch(f"/memory/{memory}", content=json.dumps({field.partition(".")[0]: value}), headers=JSON)

    assert fields(response) == [field]


async def test_the_user_may_stand_in_the_patch_itself(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    problem(await me.patch(f"/memory/{memory}", json={"user_id": "ben"}), 403, "another-users-memory")
    assert (await me.patch(f"/memory/{memory}", json={"user_id": "ada", "tags": ["x"]})).status_code == 200


async def test_another_version_is_told_before_what_no_change_reaches(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")
    before = await read(me, memory)
    await me.patch(f"/memory/{memory}", json={"sector": "emotional"})

    late = await me.patch(f"/memory/{memory}", json={**before, "tags": ["x"]}, headers={"if-match": '"1"'})

    problem(late, 412, "version-changed")


async def test_a_deleted_memory_is_gone_everywhere(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    assert (await me.delete(f"/memory/{memory}")).json() == {"ok": True}

    problem(await me.get(f"/memory/{memory}"), 404, "memory-not-found")
    problem(await me.delete(f"/memory/{memory}"), 404, "memory-not-found")
    assert await asked(me, query="ferry") == []


async def test_versions_may_stand_in_several_headers(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")
    headers = [("if-match", '"7"'), ("if-match", '"1"')]

    response = await me.patch(f"/memory/{memory}", json={"tags": ["x"]}, headers=headers)

    assert response.json()["version"] == 2


async def test_a_patch_for_two_users_is_refused(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.patch(f"/memory/{memory}?user_id=ben", json={"tags": ["x"], "user_id": "ada"})

    assert fields(response) == ["user_id", "query.user_id"]
    same = await me.patch(f"/memory/{memory}?user_id=ada", json={"tags": ["x"], "user_id": "ada"})
    assert same.json()["version"] == 2


async def test_a_memory_of_another_version_is_not_deleted(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    refused = await me.delete(f"/memory/{memory}", headers={"if-match": '"7"'})
    deleted = await me.delete(f"/memory/{memory}", headers={"if-match": '"1"'})

    problem(refused, 412, "version-changed")
    assert deleted.status_code == 200
