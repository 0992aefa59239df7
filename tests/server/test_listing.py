"""GET /memory/all and the memories of a user."""

from urllib.parse import quote

import httpx2
import pytest

from tests.server.asking import fields, listed, told

MEMORY = {
    *("id", "content", "primary_sector", "sectors", "tags", "metadata", "user_id", "project_id", "session_id"),
    *("speaker", "occurred_at", "created_at", "updated_at", "last_seen_at", "salience", "decay_lambda", "version"),
}


async def fill(client: httpx2.AsyncClient, count: int, **fields: object) -> None:
    """Add so many memories, numbered from 0."""
    items = [{"content": f"Memory number {number}", **fields} for number in range(count)]
    response = await client.post("/memory/add/batch", json={"items": items})
    assert response.status_code == 200, response.text


async def test_a_listing_shows_whole_memories(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    answer = (await me.get("/memory/all")).json()

    assert answer.keys() == {"items", "next_cursor"}
    (item,) = answer["items"]
    assert item.keys() == MEMORY
    assert item["id"] == memory
    assert item["version"] == 1
    assert all(isinstance(item[name], int) for name in ("created_at", "updated_at", "last_seen_at"))
    assert isinstance(item["occurred_at"], str)
    assert item["created_at"] > 1_500_000_000_000


async def test_a_listing_has_100_memories_unless_asked_otherwise(me: httpx2.AsyncClient) -> None:
    await fill(me, 120)

    assert await listed(me) == [f"Memory number {number}" for number in range(119, 19, -1)]
    assert len(await listed(me, limit=1_000)) == 120


@pytest.mark.parametrize("path", ["/memory/all", "/users/ada/memories"])
@pytest.mark.parametrize(("limit", "offset"), [("limit", "offset"), ("l", "u")])
async def test_a_page_is_cut_by_limit_and_offset(me: httpx2.AsyncClient, path: str, limit: str, offset: str) -> None:
    await fill(me, 5, user_id="ada")

    items = (await me.get(path, params={limit: 2, offset: 1})).json()["items"]

    assert [item["content"] for item in items] == ["Memory number 3", "Memory number 2"]


@pytest.mark.parametrize("path", ["/memory/all", "/users/ada/memories"])
async def test_cursors_lead_through_everything_once_while_more_arrives(me: httpx2.AsyncClient, path: str) -> None:
    await fill(me, 7, user_id="ada")
    seen: list[str] = []

    page = (await me.get(path, params={"limit": 3})).json()
    while page["next_cursor"] is not None:
        assert isinstance(page["next_cursor"], str)
        seen += [item["content"] for item in page["items"]]
        await told(me, f"Arrived meanwhile, after {len(seen)}", user_id="ada")
        page = (await me.get(path, params={"limit": 3, "cursor": page["next_cursor"]})).json()
    seen += [item["content"] for item in page["items"]]

    assert seen == [f"Memory number {number}" for number in range(6, -1, -1)]


async def test_the_last_full_page_has_no_cursor(me: httpx2.AsyncClient) -> None:
    await fill(me, 3)

    assert (await me.get("/memory/all", params={"limit": 3})).json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"user_id": "ada"}, ["ada"]),
        ({"project_id": "sea"}, ["sea"]),
        ({"session_id": "s1"}, ["turn"]),
        ({"sector": "emotional"}, ["mood"]),
        ({"user_id": "nobody"}, []),
    ],
)
async def test_a_listing_can_be_narrowed(me: httpx2.AsyncClient, params: dict[str, str], found: list[str]) -> None:
    await told(me, "ada", user_id="ada", sector="semantic")
    await told(me, "sea", project_id="sea", sector="semantic")
    await told(me, "turn", session_id="s1", sector="semantic")
    await told(me, "mood", sector="emotional")

    assert await listed(me, **params) == found


@pytest.mark.parametrize("path", ["/memory/all", "/users/ada/memories"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", bad) for bad in ("0", "-1", "1001", "many", "", "1.5", "9" * 400)),
        *(("l", bad) for bad in ("0", "1001", "x")),
        *(("offset", bad) for bad in ("-1", "10000001", "x")),
        *(("u", bad) for bad in ("-1", "x", "9" * 4400)),
        *(("cursor", bad) for bad in ("-1", "x", "9223372036854775808")),
    ],
)
async def test_a_bad_number_is_malformed_and_named(me: httpx2.AsyncClient, path: str, name: str, value: str) -> None:
    assert fields(await me.get(path, params={name: value})) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [("sector", "nonsense"), ("user_id", ""), ("user_id", "\0"), ("project_id", "x" * 129), ("session_id", "a\nb")],
)
async def test_a_bad_filter_is_malformed_and_named(me: httpx2.AsyncClient, name: str, value: str) -> None:
    assert fields(await me.get("/memory/all", params={name: value})) == [name]


async def test_a_users_memories_are_its_own(me: httpx2.AsyncClient) -> None:
    await told(me, "of ada", user_id="ada")
    await told(me, "of ben", user_id="ben")
    await told(me, "of nobody")

    answer = (await me.get("/users/ada/memories")).json()

    assert answer.keys() == {"user_id", "items", "next_cursor"}
    assert answer["user_id"] == "ada"
    assert [item["content"] for item in answer["items"]] == ["of ada"]


async def test_a_user_may_have_any_name(me: httpx2.AsyncClient) -> None:
    name = "用户 小明?&%"
    await told(me, "of ming", user_id=name)

    answer = (await me.get(f"/users/{quote(name)}/memories")).json()

    assert answer["user_id"] == name
    assert len(answer["items"]) == 1


async def test_forgetting_a_user_leaves_the_others(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    await told(me, "of ada", user_id="ada")
    await told(me, "of ben", user_id="ben")
    await told(other, "of another ada", user_id="ada")

    response = await me.delete("/users/ada/memories")

    assert response.json() == {"ok": True, "deleted": 1}
    assert await listed(me) == ["of ben"]
    assert await listed(other) == ["of another ada"]


@pytest.mark.parametrize("name", ["%00", "%0A", "x" * 129])
async def test_a_path_that_names_no_user_is_malformed(me: httpx2.AsyncClient, name: str) -> None:
    assert fields(await me.get(f"/users/{name}/memories")) == ["user_id"]
    assert fields(await me.delete(f"/users/{name}/memories")) == ["user_id"]


@pytest.mark.parametrize(
    ("method", "path", "name", "meant"),
    [
        ("GET", "/memory/all", "usr_id", "user_id"),
        ("GET", "/memory/all", "userId", "user_id"),
        ("GET", "/memory/all", "sectors", "sector"),
        ("GET", "/users/ada/memories", "Limit", "limit"),
        ("DELETE", "/memory/0190a0a0-0000-7000-8000-000000000000", "user", "user_id"),
    ],
)
async def test_a_misspelt_parameter_is_refused_and_never_widens_the_answer(
    me: httpx2.AsyncClient, method: str, path: str, name: str, meant: str
) -> None:
    await told(me, "The ferry leaves at nine", user_id="ada")

    response = await me.request(method, path, params={name: "nobody"})

    assert fields(response) == [f"query.{name}"]
    assert f"the nearest is {meant}" in response.json()["errors"][0]["message"]


async def test_a_parameter_that_is_like_none_changes_nothing(me: httpx2.AsyncClient) -> None:
    await told(me, "The ferry leaves at nine")

    assert await listed(me, cache_buster="7") == ["The ferry leaves at nine"]
