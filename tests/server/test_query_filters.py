"""The filters of POST /memory/query: where they may stand, what they leave, and that no mistake in one widens it."""

from collections.abc import Callable
from string import ascii_letters
from typing import Any

import httpx2
import pytest

from tests.server.asking import asked, fields, problem, sent, told


async def contents(client: httpx2.AsyncClient, **question: object) -> set[str]:
    """Return what a question for ferries finds."""
    return {match["content"] for match in await asked(client, query="ferry", **question)}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"user_id": "ada", "filters": {"user_id": "ben"}}, ["user_id", "filters.user_id"]),
        ({"project_id": "ada", "filter": {"project_id": "ben"}}, ["project_id", "filter.project_id"]),
        ({"filters": {"session_id": "s"}, "filter": {"session_id": "t"}}, ["filters.session_id", "filter.session_id"]),
        ({"tags": ["a"], "filters": {"tags": ["b"]}}, ["tags", "filters.tags"]),
        ({"since": 1, "startTime": 2}, ["since", "startTime"]),
        ({"until": 1, "filters": {"endTime": 2}}, ["until", "filters.endTime"]),
        ({"min_score": 0.1, "filters": {"min_score": 0.2}}, ["min_score", "filters.min_score"]),
        (
            {"include_shared": True, "filters": {"include_shared": False}},
            ["include_shared", "filters.include_shared"],
        ),
    ],
)
async def test_a_question_that_narrows_in_two_ways_is_refused(
    me: httpx2.AsyncClient, body: dict[str, object], named: list[str]
) -> None:
    assert fields(await sent(me, "/memory/query", {"query": "ferry", **body})) == named


async def test_a_question_may_say_the_same_twice(me: httpx2.AsyncClient) -> None:
    await told(me, "The ferry leaves at nine", user_id="ada")
    twice: dict[str, object] = {"user_id": "ada", "since": 0}

    assert len(await asked(me, query="ferry", **twice, filters=twice, filter={**twice, "startTime": 0})) == 1


@pytest.mark.parametrize("ends", [("since", "until"), ("startTime", "endTime")])
async def test_a_time_that_ends_before_it_begins_is_refused(me: httpx2.AsyncClient, ends: tuple[str, str]) -> None:
    question: dict[str, object] = {"query": "ferry", ends[0]: "2001-01-02", ends[1]: "2001-01-01"}

    assert fields(await sent(me, "/memory/query", question)) == ["until"]


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"user_id": "ada"}, {"ada"}),
    ({"user_id": "ada", "include_shared": True}, {"ada", "plain"}),
    ({"user_id": "nobody"}, set()),
    ({"project_id": "sea"}, {"sea"}),
    ({"session_id": "s1"}, {"turn"}),
    ({"sector": "emotional"}, {"mood"}),
    ({"sectors": ["emotional"]}, {"mood"}),
    ({"tags": ["a", "b"]}, {"both"}),
    ({"tags_any": ["a", "b"]}, {"both", "one"}),
    ({"metadata": {"kind": "log"}}, {"log"}),
    ({"since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"}, {"old"}),
    ({"since": 978_307_200_000, "until": 978_393_600_000}, {"old"}),
    ({"startTime": 978_307_200_000, "endTime": 978_393_600_000}, {"old"}),
    ({"until": "2001-01-01T00:00:00Z"}, set()),
    ({"min_score": 1}, set()),
    ({"min_score": 1e308}, set()),
]
TOLD: list[dict[str, Any]] = [
    {"content": "ferry plain", "sector": "semantic"},
    {"content": "ferry ada", "user_id": "ada"},
    {"content": "ferry sea", "project_id": "sea"},
    {"content": "ferry turn", "session_id": "s1", "speaker": "Ada"},
    {"content": "ferry mood", "sector": "emotional"},
    {"content": "ferry both", "tags": ["a", "b", "c"]},
    {"content": "ferry one", "tags": ["b"]},
    {"content": "ferry log", "metadata": {"kind": "log", "more": 1}},
    {"content": "ferry old", "occurred_at": "2001-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("under", [None, "filters", "filter"])
@pytest.mark.parametrize(("narrowed", "found"), FILTERS)
async def test_a_filter_narrows_at_each_level(
    me: httpx2.AsyncClient, narrowed: dict[str, Any], found: set[str], under: str | None
) -> None:
    await me.post("/memory/add/batch", json={"items": TOLD})

    question = narrowed if under is None else {under: narrowed}

    expected = {f"ferry {name}" for name in found}
    if narrowed == {"user_id": "ada", "include_shared": True}:
        expected = {item["content"] for item in TOLD if item.get("user_id") in {None, "ada"}}
    assert await contents(me, **question, k=50) == expected


async def test_without_a_user_all_of_the_tenant_is_searched(me: httpx2.AsyncClient) -> None:
    await me.post("/memory/add/batch", json={"items": TOLD})

    assert await contents(me, k=50) == {item["content"] for item in TOLD}


@pytest.mark.parametrize("under", [None, "filters", "filter"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", ""),
        ("project_id", "a\0b"),
        ("session_id", "\ud800"),
        ("sector", "nonsense"),
        ("sectors", []),
        ("tags", "abc"),
        ("metadata", [1]),
        ("since", "soon"),
        ("until", True),
        ("startTime", 1e300),
        ("endTime", "\ud800"),
        ("min_score", "high"),
        ("min_score", float("nan")),
        ("min_score", float("inf")),
        ("include_shared", "perhaps"),
    ],
)
async def test_a_bad_filter_is_named_where_it_stands(
    me: httpx2.AsyncClient, field: str, value: object, under: str | None
) -> None:
    narrowed = {field: value} if under is None else {under: {field: value}}

    response = await sent(me, "/memory/query", {"query": "ferry", **narrowed})

    assert fields(response) == [field if under is None else f"{under}.{field}"]


async def test_no_question_finds_another_tenants_memories(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    await told(other, "The ferry leaves at nine", user_id="ada")

    assert await contents(me) == set()
    assert await contents(me, user_id="ada", include_shared=True) == set()


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"userId": "mara"}, "userId", "is no filter; the nearest is user_id"),
        ({"filters": {"tag": ["sea"]}}, "filters.tag", "is no filter; the nearest is tags"),
        ({"filter": {"session": "one"}}, "filter.session", "is no filter; the nearest is session_id"),
        ({"UserID": "mara"}, "UserID", "is no filter; the nearest is user_id"),
        ({"fliter": {"user_id": "mara"}}, "fliter", "is no filter; the nearest is filter"),
        ({"Filters": {"user_id": "mara"}}, "Filters", "is no filter; the nearest is filters"),
        ({"filterr": {"user_id": "mara"}}, "filterr", "is no filter; the nearest is filters"),
    ],
)
async def test_a_filter_that_is_misspelt_is_refused_and_never_widens_the_answer(
    me: httpx2.AsyncClient, body: dict[str, object], field: str, said: str
) -> None:
    response = await me.post("/memory/query", json={"query": "ferry", **body})

    assert problem(response, 400, "malformed")["errors"] == [{"field": field, "message": said}]


async def test_a_field_beside_the_question_that_is_like_no_filter_is_ignored(me: httpx2.AsyncClient) -> None:
    await told(me, "The ferry leaves at nine")

    response = await me.post("/memory/query", json={"query": "ferry", "namespace": "x"})

    assert len(response.json()["matches"]) == 1


@pytest.mark.parametrize("place", ["filters", "filter"])
async def test_what_is_no_filter_among_the_filters_is_refused_and_the_filters_are_named(
    me: httpx2.AsyncClient, place: str
) -> None:
    response = await me.post("/memory/query", json={"query": "ferry", place: {"graph": 1, "user_id": "ada"}})

    (wrong,) = problem(response, 400, "malformed")["errors"]
    assert wrong["field"] == f"{place}.graph"
    assert wrong["message"].startswith("is no filter; there are user_id, project_id, session_id, ")


@pytest.mark.parametrize("wrap", [lambda names: names, lambda names: {"filters": names}])
async def test_of_many_misspelt_names_the_first_are_told(
    me: httpx2.AsyncClient, wrap: Callable[[dict[str, int]], dict[str, object]]
) -> None:
    body = {"query": "ferry", **wrap({f"user_id{letter}": 1 for letter in ascii_letters})}

    assert len(problem(await me.post("/memory/query", json=body), 400, "malformed")["errors"]) == 20
