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

STRANGERS = [
    *(
        "agent_id",
        "score",
        "expand",
        "start",
        "state",
        "salience",
        "utm_source",
        "_",
        "_k",
        "cache_buster",
        "namespace",
    ),
    *(
        "vectors",
        "vector",
        "section",
        "order",
        "select",
        "stats",
        "tagged",
        "sort",
        "size",
        "page",
        "use",
        "uid",
        "ids",
    ),
]


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


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_parameter_that_narrows_nothing_is_let_be(me: httpx2.AsyncClient, name: str) -> None:
    for path, body in POSTS.items():
        response = await me.post(path, params={name: "7"}, json=body)

        assert response.status_code == 200 or problem(response, 404, "memory-not-found")
    for path in ("/memory/all", "/users/ada/memories", "/sectors"):
        assert (await me.get(path, params={name: "7"})).status_code == 200
    memory = await told(me, "The ferry leaves at ten")
    assert (await me.request("DELETE", f"/memory/{memory}", params={name: "7"}, json={name: "7"})).status_code == 200


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_field_beside_a_question_that_narrows_nothing_is_let_be(me: httpx2.AsyncClient, name: str) -> None:
    assert (await me.post("/memory/query", json={"query": "ferry", name: "7"})).status_code == 200


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *((name, "user_id") for name in ("userId", "user-id", "USER_ID", "_user_id", "user", "users", "userids")),
        *((name, "user_id") for name in ("usr_id", "suer_id", "usre_id", "ser_id", "user_id[]", "filters.user_id")),
        *((name, "project_id") for name in ("projectId", "project", "filters[project_id]")),
        *((name, "session_id") for name in ("session-id", "session")),
        *(("sectr", "sector"), ("ofset", "offset"), ("curser", "cursor"), ("Limit", "limit")),
    ],
)
async def test_a_parameter_in_other_letters_is_refused_with_the_one_that_was_meant(
    me: httpx2.AsyncClient, name: str, meant: str
) -> None:
    response = await me.get("/memory/all", params={name: "1"})

    assert fields(response) == [f"query.{name}"]
    assert response.json()["errors"][0]["message"].endswith(f"the nearest is {meant}")


@pytest.mark.parametrize("name", ["tenantId", "tenant-id", "Tenant", "filters", "filter[tags]", "tag", "speakers"])
async def test_what_narrows_nowhere_here_is_refused_in_other_letters_too(me: httpx2.AsyncClient, name: str) -> None:
    assert fields(await me.get("/memory/all", params={name: "1"})) == [f"query.{name}"]


@pytest.mark.parametrize(
    ("path", "name", "remedy"),
    [
        ("/memory/query", "userId", "send user_id in its body"),
        ("/memory/query", "since", "send since in its body"),
        ("/memory/add", "session_id", "send session_id in its body"),
        ("/memory/add/batch", "project_id", "send project_id in its body"),
        ("/memory/reinforce", "user_id", "send user_id in its body"),
        ("/memory/reinforce", "project_id", "it does not narrow by project_id, nor does its body"),
        ("/memory/add", "since", "it does not narrow by since, nor does its body"),
    ],
)
async def test_the_way_that_is_named_is_there(me: httpx2.AsyncClient, path: str, name: str, remedy: str) -> None:
    response = await me.post(path, params={name: "1"}, json=POSTS[path])

    assert response.json()["errors"][0]["message"] == f"is no parameter of this call; {remedy}"


async def test_of_many_names_the_last_is_looked_at_as_well(me: httpx2.AsyncClient) -> None:
    many = {f"x{number}": "1" for number in range(99)}
    memory = await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.get("/memory/all", params={**many, "userId": "ada"})
    deleted = await me.request(
        "DELETE", f"/memory/{memory}", json={**{f"x{number}": 1 for number in range(500)}, "user_id": "ben"}
    )

    assert fields(response) == ["query.userId"]
    assert fields(deleted) == ["body.user_id"]
