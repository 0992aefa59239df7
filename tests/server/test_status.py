"""The calls about the server, and the description of it."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tests.server.asking import told

SECTORS = ["episodic", "semantic", "procedural", "emotional", "reflective"]


async def test_health_says_what_the_server_is_made_of(http: httpx2.AsyncClient) -> None:
    answer = (await http.get("/health")).json()

    assert answer["ok"] is True
    assert (answer["tier"], answer["dim"], answer["embedding"]["dimensions"]) == ("hybrid", 256, 256)
    assert answer["embedding"]["model"].startswith("hash")
    assert answer.keys() == {"ok", "version", "embedding", "tier", "dim", "cache", "expected"}


async def test_ready_says_that_the_database_answers(http: httpx2.AsyncClient) -> None:
    response = await http.get("/ready")

    assert (response.status_code, response.json()) == (200, {"ok": True})


async def test_sectors_counts_the_tenants_own_memories(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    await told(other, "The ferry leaves", sector="emotional")
    await told(me, "The ferry leaves", sector="semantic", salience=0.5)

    answer = (await me.get("/sectors")).json()

    assert answer.keys() == {"sectors", "configs", "stats"}
    assert sorted(answer["sectors"]) == sorted(SECTORS)
    assert answer["configs"].keys() == set(SECTORS)
    assert answer["configs"]["semantic"].keys() == {"model", "decay_lambda", "weight", "patterns"}
    assert [(one["sector"], one["count"]) for one in answer["stats"]] == [("semantic", 1)]
    assert answer["stats"][0]["avg_salience"] == pytest.approx(0.5, abs=1e-3)


async def test_metrics_count_requests_by_route_and_never_by_what_they_name(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves", user_id="a-user-of-mine")
    await me.get(f"/memory/{memory}?user_id=somebody-else")
    await me.get("/users/a-user-of-mine/memories")
    await me.get("/nowhere-at-all")
    await me.request("BREW", "/sectors")

    response = await me.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'openmemory_request_seconds_count{method="POST",route="/memory/add",status="200"}' in response.text
    assert 'openmemory_requests_refused_total{status="403"}' in response.text
    assert not [
        word for word in (memory, "a-user-of-mine", "nowhere-at-all", "BREW", "tenant-") if word in response.text
    ]


def described(api: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each call of the description."""
    for path, calls in api.openapi()["paths"].items():
        for method, call in calls.items():
            yield method.upper(), path, call


def references(part: object) -> Iterator[str]:
    """Yield every reference below a part of the description."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def model(api: FastAPI, content: dict[str, Any], media: str) -> dict[str, Any]:
    """Return the schema of a body, followed to where it is described."""
    schema: dict[str, Any] = content[media]["schema"]
    return api.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]  # type: ignore[no-any-return]


async def test_the_description_is_served_and_every_reference_leads_somewhere(
    api: FastAPI, http: httpx2.AsyncClient
) -> None:
    served = (await http.get("/openapi.json")).json()

    assert served == api.openapi()
    known = {f"#/components/schemas/{name}" for name in served["components"]["schemas"]}
    assert set(references(served)) <= known
    assert "$defs" not in str(served)


def test_the_description_has_every_call_of_the_contract(api: FastAPI) -> None:
    assert {(method, path) for method, path, _ in described(api)} == {
        *(("POST", f"/memory/{name}") for name in ("add", "add/batch", "query", "reinforce")),
        *((method, "/memory/{id}") for method in ("GET", "PATCH", "DELETE")),
        *((method, "/users/{user_id}/memories") for method in ("GET", "DELETE")),
        *(("GET", path) for path in ("/memory/all", "/sectors", "/health", "/ready", "/metrics")),
    }


def test_each_body_and_answer_is_described_by_its_fields(api: FastAPI) -> None:
    for method, path, call in described(api):
        if method in {"POST", "PATCH"}:
            assert model(api, call["requestBody"]["content"], "application/json")["properties"], path
        assert call["responses"].keys() >= {"200", "4XX", "503"}
        if path != "/metrics":
            assert model(api, call["responses"]["200"]["content"], "application/json")["properties"], path
        for status in ("4XX", "503"):
            assert list(call["responses"][status]["content"]) == ["application/problem+json"]
            assert model(api, call["responses"][status]["content"], "application/problem+json")["title"] == "Problem"


def test_the_description_says_how_to_say_who_asks(api: FastAPI) -> None:
    for _, path, call in described(api):
        names = {parameter["name"] for parameter in call.get("parameters", [])}
        public = path in {"/health", "/ready", "/metrics"}
        assert ("x-tenant-id" in names) is not public
        assert ("security" in call) is not public


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
async def test_there_is_no_page_that_loads_from_elsewhere(me: httpx2.AsyncClient, path: str) -> None:
    assert (await me.get(path)).status_code == 404
