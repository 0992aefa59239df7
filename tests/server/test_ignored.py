"""What a call would ignore although it seems to narrow it is refused; what narrows nothing is let be."""

import httpx2
import pytest

from tests.server.asking import fields, listed, problem, told

MEMORY = "/memory/0190a0a0-0000-7000-8000-000000000000"
POSTS = {
    "/memory/add": {"content": "The ferry leaves at nine"},
    "/memory/add/batch": {"items": [{"content": "The ferry leaves at nine"}]},
    "/memory/query": {"query": "ferry"},
    "/memory/reinforce": {"id": MEMORY[8:]},
}


@pytest.mark.parametrize("name", ["user_id", "project_id", "session_id", "sector", "k", "userId", "speaker"])
@pytest.mark.parametrize("path", POSTS)
async def test_what_narrows_is_not_taken_from_the_address_of_a_post(
    me: httpx2.AsyncClient, path: str, name: str
) -> None:
    await told(me, "The ferry is blue", user_id="ada")

    response = await me.post(path, params={name: "ada"}, json=POSTS[path])

    assert fields(response) == [f"query.{name}"]
    assert "body" in response.json()["errors"][0]["message"]
    assert await listed(me) == ["The ferry is blue"]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", MEMORY, "project_id"),
        ("GET", "/memory/all", "tags"),
        ("GET", "/users/ada/memories", "session_id"),
        ("DELETE", "/users/ada/memories", "project_id"),
        ("PATCH", MEMORY, "project_id"),
        ("GET", "/sectors", "user_id"),
    ],
)
async def test_what_a_call_does_not_narrow_by_is_refused(
    me: httpx2.AsyncClient, method: str, path: str, name: str
) -> None:
    await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.request(method, path, params={name: "x"}, json={} if method == "PATCH" else None)

    assert fields(response) == [f"query.{name}"]
    assert await listed(me) == ["The ferry leaves at nine"]


@pytest.mark.parametrize("path", [*POSTS, "/memory/all", MEMORY, "/sectors"])
@pytest.mark.parametrize("name", ["tenant_id", "tenant"])
async def test_a_tenant_is_named_by_the_header_alone(me: httpx2.AsyncClient, path: str, name: str) -> None:
    response = await me.request("POST" if path in POSTS else "GET", path, params={name: "x"}, json=POSTS.get(path))

    assert fields(response) == [f"query.{name}"]
    assert "header" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ({"user_id": "ben"}, "user_id", "send ?user_id="),
        ({"userId": "ben"}, "userId", "send ?user_id="),
        ({"project_id": "sea"}, "project_id", "does not narrow by project_id"),
        ({"filters": {"user_id": "ben"}}, "filters", "does not narrow by filters"),
    ],
)
async def test_a_user_in_the_body_of_a_delete_is_not_overlooked(
    me: httpx2.AsyncClient, body: dict[str, object], name: str, said: str
) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.request("DELETE", f"/memory/{memory}", json=body)

    assert fields(response) == [f"body.{name}"]
    assert said in response.json()["errors"][0]["message"]
    assert await listed(me) == ["The ferry leaves at nine"]


@pytest.mark.parametrize("body", [{}, {"reason": "asked for"}, [], None])
async def test_a_body_that_narrows_nothing_is_let_be(me: httpx2.AsyncClient, body: object) -> None:
    memory = await told(me, "The ferry leaves at nine")

    response = await me.request("DELETE", f"/memory/{memory}", json=body)

    assert response.status_code == 200, response.text


async def test_a_parameter_that_narrows_nothing_is_let_be(me: httpx2.AsyncClient) -> None:
    for path, body in POSTS.items():
        response = await me.post(path, params={"cache_buster": "7"}, json=body)

        assert response.status_code == 200 or problem(response, 404, "memory-not-found")
