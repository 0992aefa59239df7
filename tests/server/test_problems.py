"""Errors as problem details."""

from http import HTTPStatus

import httpx2
import pytest
from fastapi import FastAPI

from openmemory import errors
from openmemory.server.problems import STATUS, answer
from tests.factories import a_tenant
from tests.server.asking import a_client, problem, sent, told


def family(kind: type[errors.OpenMemoryError]) -> set[type[errors.OpenMemoryError]]:
    """Return every class of `errors` below `kind`; the command line has one of its own, which HTTP never sees."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return {found for child in children for found in ({child} | family(child))}


def test_every_error_has_a_status_a_code_and_a_title() -> None:
    assert family(errors.OpenMemoryError) == set(STATUS)
    assert all(kind.code and kind.title for kind in STATUS)
    assert {kind: status for kind, status in STATUS.items() if status >= 500 and status != 503} == {
        errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR
    }


@pytest.mark.parametrize("path", ["/nowhere", "/memory", "/memory/all/", "/docs", "/redoc", "/memory/a/b", "//", "/"])
async def test_an_unknown_path_is_a_problem(me: httpx2.AsyncClient, path: str) -> None:
    found = problem(await me.get(f"http://127.0.0.1:8080{path}"), 404, "not-found")

    assert found["instance"] == path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/memory/query", None),
        ("PUT", "/memory/add", "POST"),
        ("PUT", "/memory/4e8bb0b4-3a23-4b5f-8f0c-0d5a2f6f5b1e", "DELETE GET PATCH"),
        ("POST", "/users/mara/memories", "DELETE GET"),
        ("DELETE", "/health", "GET"),
        ("POST", "/memory/all", None),
        ("TRACE", "/sectors", "GET"),
        ("BREW", "/sectors", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_a_problem(
    me: httpx2.AsyncClient, method: str, path: str, allowed: str | None
) -> None:
    response = await me.request(method, path)

    if allowed is None:  # a path that reads as /memory/{id} too
        assert response.status_code in {404, 405}
        return
    problem(response, 405, "method-not-allowed")

    (said,) = response.headers.get_list("allow")
    assert set(allowed.split()) <= set(said.split(", "))


async def test_upstreams_words_for_errors_are_kept(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves", user_id="ada")

    assert (await me.get("/memory/nonsense")).json()["err"] == "nf"
    assert (await me.get(f"/memory/{memory}?user_id=ben")).json()["error"] == "forbidden"
    assert (await me.post("/memory/add", json={})).json()["err"] == "content"


async def test_values_in_problems_are_cut(me: httpx2.AsyncClient) -> None:
    long = "é" * 190

    for response in (
        await me.get(f"/memory/{long}"),
        await me.get(f"/{long}"),
        await sent(me, "/memory/reinforce", {"id": "i" * 64}),
        await sent(me, "/memory/add", {"content": "x", "metadata": {"key" * 100: float("nan")}}),
    ):
        assert len(response.text) < 1_500
        assert long not in response.json()["detail"]
        assert all(len(one["field"]) <= 80 for one in response.json().get("errors", []))


async def test_no_more_than_a_hundred_bad_fields_are_named(me: httpx2.AsyncClient) -> None:
    response = await sent(me, "/memory/add/batch", {"items": [{}] * 1_000})

    assert len(problem(response, 400, "malformed")["errors"]) == 100


SECRET = "the-secret-that-was-told"  # noqa: S105 -- stands for content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/memory/add", {"content": SECRET, "embedding": [123.456789]}),
        ("/memory/add", {"content": SECRET, "salience": SECRET, "id": SECRET, "sector": SECRET, "occurred_at": SECRET}),
        ("/memory/add", {"content": [SECRET], "tags": SECRET, "metadata": SECRET, "user_id": [SECRET]}),
        ("/memory/add", {"content": SECRET + "\0", "metadata": {"a": SECRET + "\0"}, "tags": [SECRET + "\0"]}),
        ("/memory/add", {"content": SECRET, "embedding": [SECRET, 123.456789]}),
        ("/memory/add/batch", {"items": [{"content": SECRET, "embedding": [123.456789]}]}),
        ("/memory/add/batch", {"items": SECRET}),
        ("/memory/add/batch", {"items": [{"content": SECRET, "embedding": [123.456789]}, SECRET], "partial": True}),
        ("/memory/query", {"query": SECRET, "embedding": [123.456789], "k": SECRET}),
        ("/memory/query", {"query": SECRET, "filters": SECRET}),
        ("/memory/query", SECRET),
    ],
)
async def test_a_refusal_never_repeats_what_was_told(me: httpx2.AsyncClient, path: str, body: object) -> None:
    response = await sent(me, path, body)

    assert "malformed" in response.text
    assert SECRET not in response.text
    assert "123.456789" not in response.text


async def test_a_taken_id_or_text_says_nothing_of_the_memory_that_has_it(me: httpx2.AsyncClient) -> None:
    memory = await told(me, SECRET, occurred_at=0)
    another = await told(me, "Something else", occurred_at=0)

    for response in (
        await me.post("/memory/add", json={"content": "New", "id": memory}),
        await me.patch(f"/memory/{another}", json={"content": SECRET}),
    ):
        problem(response, 409, "memory-exists")
        assert SECRET not in response.text


async def test_what_nobody_expected_is_a_problem_without_a_word_of_it(
    api: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(api.state.services.memories, "delete_user", broken)
    async with a_client(api, a_tenant()) as client:
        response = await client.delete("/users/ada/memories")

    problem(response, 500, "internal")
    assert SECRET not in response.text


def test_a_problem_can_be_written_whatever_its_words_are() -> None:
    response = answer(errors.MemoryNotFound("memory \ud800\0"), "/memory/\ud800\n é")

    assert bytes(response.body).decode()
    assert b"/memory/%3F%0A%20%C3%A9" in bytes(response.body)
