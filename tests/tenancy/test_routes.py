"""Every route, asked as tenant B with A's names: the bytes are those of a name that exists nowhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from openmemory.app import Logins
from tests.factories import a_tenant
from tests.tenancy.conftest import Stage, an_attacker
from tests.tenancy.victims import Marks, a_ghost_of, rows_of


@dataclass(frozen=True)
class Call:
    """One request of a route."""

    path: str
    json: Any = None
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def _of_user(theirs: Marks) -> dict[str, str]:
    return {"user_id": theirs.user}


def _copy(theirs: Marks) -> dict[str, Any]:
    return {
        "content": f"{theirs.word} keeps the spare key under stone number 0",
        "user_id": theirs.user,
        "project_id": theirs.project,
        "session_id": theirs.session,
        "speaker": theirs.speaker,
        "occurred_at": "2026-03-01T12:00:00Z",
    }


def _reads(path: str, theirs: Marks) -> list[Call]:
    filters: list[dict[str, str]] = [
        {},
        {"limit": "1"},
        {"cursor": str(theirs.cursor)},
        {"offset": "1"},
        {"session_id": theirs.session},
        _of_user(theirs),
        {"project_id": theirs.project},
    ]
    return [Call(path, params=params) for params in filters]


def _questions(theirs: Marks) -> list[Call]:
    narrowed: list[dict[str, Any]] = [
        {},
        _of_user(theirs),
        {"user_id": theirs.user, "include_shared": True},
        {"session_id": theirs.session},
        {"project_id": theirs.project},
        {"tags": [theirs.tag]},
        {"metadata": {"note": theirs.word}},
        {"min_score": 0},
    ]
    return [Call("/memory/query", {"query": f"{theirs.word} spare key", "k": 1000, "filters": one}) for one in narrowed]


def _patches(theirs: Marks) -> list[Call]:
    path, body = f"/memory/{theirs.ids[0]}", {"content": "taken over", "tags": ["mine"], "salience": 1}
    return [
        Call(path, body),
        Call(path, body | _of_user(theirs)),
        Call(path, body, params=_of_user(theirs)),
        *(Call(path, body, headers={"if-match": version}) for version in ('"1"', '"2"', "*")),
        Call(path, body, headers={"idempotency-key": theirs.key}),
    ]


def _adds(theirs: Marks) -> list[Call]:
    mine = {"content": "ours"}
    return [
        Call("/memory/add", _copy(theirs)),
        Call("/memory/add", mine | {"id": str(theirs.ids[0])}),
        Call("/memory/add", mine | {"content": "written once"}, headers={"idempotency-key": theirs.key}),
    ]


def _batches(theirs: Marks) -> list[Call]:
    items = [_copy(theirs) | {"id": str(theirs.ids[1])}, {"content": "ours", "id": str(theirs.ids[2])}]
    return [Call("/memory/add/batch", {"items": items, "partial": partial}) for partial in (False, True)]


def _on_ids(path: str) -> Callable[[Marks], list[Call]]:
    def calls(theirs: Marks) -> list[Call]:
        bare = [Call(path.replace("{id}", str(one))) for one in theirs.ids]
        return bare + [Call(one.path, params=_of_user(theirs)) for one in bare]

    return calls


def _reinforcements(theirs: Marks) -> list[Call]:
    body = {"id": str(theirs.ids[0]), "boost": 0.5}
    return [Call("/memory/reinforce", body), Call("/memory/reinforce", body | _of_user(theirs))]


ROUTES: dict[str, Callable[[Marks], Sequence[Call]]] = {
    "POST /memory/add": _adds,
    "POST /memory/add/batch": _batches,
    "POST /memory/query": _questions,
    "GET /memory/all": lambda theirs: _reads("/memory/all", theirs),
    "GET /memory/{id}": _on_ids("/memory/{id}"),
    "PATCH /memory/{id}": _patches,
    "DELETE /memory/{id}": _on_ids("/memory/{id}"),
    "POST /memory/reinforce": _reinforcements,
    "GET /users/{user_id}/memories": lambda theirs: _reads(f"/users/{theirs.user}/memories", theirs),
    "DELETE /users/{user_id}/memories": lambda theirs: [Call(f"/users/{theirs.user}/memories")],
    "GET /sectors": lambda _: [Call("/sectors")],
}
WITHOUT_TENANT = {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /openapi.json",
}


def _routes(app: FastAPI) -> set[str]:
    listed = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    for route in app.routes:
        if path := getattr(route, "path", ""):
            listed |= {f"{method} {path}" for method in getattr(route, "methods", None) or ["ANY"] if method != "HEAD"}
    return listed


async def test_every_route_is_asked_as_another_tenant(still_api: FastAPI) -> None:
    there = _routes(still_api)

    missing = there - ROUTES.keys() - WITHOUT_TENANT
    assert not missing, (
        f"no tenancy case for {sorted(missing)}: add to ROUTES in tests/tenancy/test_routes.py what tenant B can ask of"
        " it with A's ids, users, sessions, keys and cursors, or to WITHOUT_TENANT if it has nothing of any tenant"
    )
    assert not (ROUTES.keys() | WITHOUT_TENANT) - there, "these routes are gone"


@pytest.mark.parametrize("route", sorted(ROUTES))
async def test_a_route_answers_for_another_tenants_names_as_for_none(
    route: str, client: httpx2.AsyncClient, stage: Stage, logins: Logins, victim: Marks
) -> None:
    ghost, method = a_ghost_of(victim), route.partition(" ")[0]
    before = rows_of(logins.owner, victim.tenant)

    for tried, imagined in zip(ROUTES[route](victim), ROUTES[route](ghost), strict=True):
        attacker, stranger = await an_attacker(stage.memories), await an_attacker(stage.memories)
        answer = await _ask(client, method, tried, attacker.tenant)
        nothing = await _ask(client, method, imagined, stranger.tenant)

        assert answer.status_code == nothing.status_code
        assert answer.status_code < 500
        assert victim.secret not in answer.text
        assert victim.hidden(answer.text, attacker.tenant) == ghost.hidden(nothing.text, stranger.tenant)
        assert _telling_headers(answer) == _telling_headers(nothing)
    assert rows_of(logins.owner, victim.tenant) == before


@pytest.mark.parametrize("path", sorted(route.partition(" ")[2] for route in WITHOUT_TENANT))
async def test_what_is_open_to_all_shows_nothing_of_a_tenant(
    path: str, client: httpx2.AsyncClient, victim: Marks
) -> None:
    await client.get(f"/memory/{victim.ids[0]}", headers={"x-tenant-id": victim.tenant})

    answer = await client.get(path)

    assert answer.status_code == 200
    telling = (
        victim.tenant,
        victim.user,
        victim.word,
        victim.tag,
        victim.session,
        victim.secret,
        *map(str, victim.ids),
    )
    assert not [mark for mark in telling if mark in answer.text]


async def test_no_tenant_named_means_the_default_one_and_never_all(client: httpx2.AsyncClient, victim: Marks) -> None:
    answers = [await client.get("/memory/all?limit=1000"), await client.get(f"/memory/{victim.ids[0]}")]

    assert [answer.status_code for answer in answers] == [200, 404]
    assert victim.secret not in answers[0].text


@pytest.mark.parametrize("name", ["", "  \t", "*", "%", "null", "' OR tenant_id <> '"])
async def test_a_crafted_tenant_name_opens_no_other_tenant(
    name: str, client: httpx2.AsyncClient, victim: Marks
) -> None:
    answer = await client.get("/memory/all", headers={"x-tenant-id": name})

    assert answer.status_code in {200, 400}
    assert victim.secret not in answer.text


async def test_two_tenants_named_at_once_are_refused(client: httpx2.AsyncClient, victim: Marks) -> None:
    headers = [("x-tenant-id", a_tenant()), ("X-Tenant-Id", victim.tenant)]

    answer = await client.get("/memory/all", headers=headers)

    assert answer.status_code == 400


async def _ask(client: httpx2.AsyncClient, method: str, call: Call, tenant: str) -> httpx2.Response:
    headers = call.headers | {"x-tenant-id": tenant}
    return await client.request(method, call.path, json=call.json, params=call.params, headers=headers)


def _telling_headers(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "content-length"}
