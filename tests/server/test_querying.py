"""POST /memory/query: what a question may be, how many matches it has and what they say."""

from typing import Any

import httpx2
import pytest

from tests.server.asking import asked, fields, problem, sent, told

MATCH = {
    *("id", "content", "score", "sectors", "primary_sector", "path", "salience", "last_seen_at", "tags", "metadata"),
    *("user_id", "project_id", "session_id", "speaker", "occurred_at", "created_at", "explain"),
}


async def test_a_match_says_everything_about_the_memory(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", occurred_at="2026-03-01T12:00:00Z", tags=["sea"])

    response = await me.post("/memory/query", json={"query": "ferry"})

    answer = response.json()
    assert answer["query"] == "ferry"
    (match,) = answer["matches"]
    assert match.keys() >= MATCH
    assert match["id"] == memory
    assert match["path"] == [memory]
    assert 0 < match["score"] <= 1
    assert match["occurred_at"] == "2026-03-01T12:00:00Z"
    assert all(isinstance(match[name], int) for name in ("created_at", "updated_at", "last_seen_at"))
    assert match["explain"] is None


async def test_explain_shows_the_parts_and_the_plan(me: httpx2.AsyncClient) -> None:
    await told(me, "The ferry leaves at nine")

    answer = (await me.post("/memory/query", json={"query": "ferry", "explain": True})).json()

    assert answer["explain"].keys() == {"path", "visible", "reranked", "plan"}
    assert answer["matches"][0]["explain"].keys() == {"lexical", "dense", "context_dense", "boosts", "relevance"}


async def test_matches_come_best_first(me: httpx2.AsyncClient) -> None:
    for content in ("The ferry", "The ferry leaves at nine from the pier", "Bees on the roof"):
        await told(me, content)

    scores = [match["score"] for match in await asked(me, query="ferry at nine")]

    assert scores == sorted(scores, reverse=True)


async def test_eight_matches_are_shown_unless_asked_otherwise(me: httpx2.AsyncClient) -> None:
    await me.post("/memory/add/batch", json={"items": [{"content": f"Ferry number {n}"} for n in range(12)]})

    assert len(await asked(me, query="ferry")) == 8


@pytest.mark.parametrize("name", ["k", "top_k", "limit"])
async def test_k_has_other_names(me: httpx2.AsyncClient, name: str) -> None:
    await me.post("/memory/add/batch", json={"items": [{"content": f"Ferry number {n}"} for n in range(12)]})

    assert len(await asked(me, query="ferry", **{name: 3})) == 3
    assert len(await asked(me, query="ferry", **{name: 1_000})) == 12


@pytest.mark.parametrize("name", ["k", "top_k", "limit"])
@pytest.mark.parametrize("value", [0, -1, 1_001, 10**400, 1.5, "many", []])
async def test_k_is_1_to_1000_and_named_as_it_was_sent(me: httpx2.AsyncClient, name: str, value: object) -> None:
    assert fields(await sent(me, "/memory/query", {"query": "ferry", name: value})) == [name]


@pytest.mark.parametrize("place", ["filters", "filter"])
@pytest.mark.parametrize("name", ["k", "top_k", "limit"])
async def test_k_may_stand_among_the_filters(me: httpx2.AsyncClient, place: str, name: str) -> None:
    for number in range(3):
        await told(me, f"The ferry leaves at {number}")

    assert len(await asked(me, query="ferry", **{place: {name: 2}})) == 2
    assert fields(await sent(me, "/memory/query", {"query": "ferry", place: {name: 0}})) == [f"{place}.{name}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", True),
        ("k", "8"),
        ("min_score", "0.1"),
        ("min_score", False),
        ("explain", 0),
        ("explain", "yes"),
        ("include_shared", 1),
    ],
)
async def test_a_value_of_another_kind_is_named(me: httpx2.AsyncClient, name: str, value: object) -> None:
    assert fields(await sent(me, "/memory/query", {"query": "ferry", name: value})) == [name]


async def test_k_and_its_other_names_must_agree(me: httpx2.AsyncClient) -> None:
    await me.post("/memory/add/batch", json={"items": [{"content": f"Ferry number {n}"} for n in range(5)]})

    assert len(await asked(me, query="ferry", limit=2, top_k=2, k=2)) == 2
    for body in ({"k": 8, "top_k": 2}, {"top_k": 2, "limit": 3}):
        assert fields(await sent(me, "/memory/query", {"query": "ferry", **body})) == list(body)


@pytest.mark.parametrize("text", [" ", "\n\t  ", "\u3000"])
async def test_a_blank_question_is_refused(me: httpx2.AsyncClient, text: str) -> None:
    assert "query" in problem(await sent(me, "/memory/query", {"query": text}), 422, "unprocessable")["detail"]
    assert await asked(me, query=text, embedding=[1.0] * 256) == []


@pytest.mark.parametrize("number", ["1", "1.5", True, None, []])
async def test_an_embedding_is_made_of_numbers(me: httpx2.AsyncClient, number: object) -> None:
    embedding = [*[0.5] * 255, number]

    assert fields(await sent(me, "/memory/query", {"embedding": embedding})) == ["embedding[255]"]
    assert fields(await sent(me, "/memory/add", {"content": "x", "embedding": embedding})) == ["embedding[255]"]
    assert await asked(me, embedding=[1] * 256) == []


@pytest.mark.parametrize("question", [{}, {"query": ""}, {"query": None}, {"k": 3}])
async def test_a_question_needs_a_text_or_an_embedding(me: httpx2.AsyncClient, question: dict[str, Any]) -> None:
    assert fields(await me.post("/memory/query", json=question)) == ["query"]


async def test_a_question_may_be_an_embedding(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", embedding=[1.0, *[0.0] * 255])

    answer = (await me.post("/memory/query", json={"embedding": [1.0, *[0.0] * 255]})).json()

    assert answer["query"] is None
    assert [match["id"] for match in answer["matches"]] == [memory]


@pytest.mark.parametrize("embedding", [[1.0], [0.0] * 256, [1e39] * 256, [10**400] * 256, "abc", []])
async def test_an_embedding_that_cannot_be_compared_is_malformed(me: httpx2.AsyncClient, embedding: object) -> None:
    response = await sent(me, "/memory/query", {"query": "ferry", "embedding": embedding})

    assert {name.partition("[")[0] for name in fields(response)} == {"embedding"}


@pytest.mark.parametrize("text", ["\ud800", "x" * 10_001, 7, ["ferry"]])
async def test_a_question_that_is_no_text_is_malformed(me: httpx2.AsyncClient, text: object) -> None:
    assert fields(await sent(me, "/memory/query", {"query": text})) == ["query"]


@pytest.mark.parametrize("text", ["\0", "?", "🎈", "' OR 1=1 --", "x" * 10_000, "\u202e", "the year 9999", "0001"])
async def test_any_other_text_is_a_question(me: httpx2.AsyncClient, text: str) -> None:
    await told(me, "The ferry leaves at nine", occurred_at="0001-01-01T00:00:00Z")
    await told(me, "The ferry came back", occurred_at="9999-12-31T23:59:59Z")

    response = await me.post("/memory/query", json={"query": text})

    assert response.status_code == 200, response.text
    assert response.json()["query"] == text


async def test_a_list_is_no_question(me: httpx2.AsyncClient) -> None:
    problem(await me.post("/memory/query", json=[]), 400, "malformed")
