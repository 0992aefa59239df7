"""Clients of the application, and what their answers must look like."""

import json
from typing import Any

import httpx2
from fastapi import FastAPI

HERE = ("127.0.0.1", 50000)
PROBLEM_FIELDS = {"type", "title", "status", "detail", "instance", "err", "error"}


def a_client(api: FastAPI, tenant: str | None = None, peer: tuple[str, int] = HERE) -> httpx2.AsyncClient:
    """Return a client from `peer`, by default on this machine; with a tenant's name, as that tenant."""
    transport = httpx2.ASGITransport(app=api, client=peer, raise_app_exceptions=False)
    headers = {} if tenant is None else {"x-tenant-id": tenant}
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)


async def sent(client: httpx2.AsyncClient, path: str, value: object) -> httpx2.Response:
    """Post a value as JSON, also one that the client's own encoder refuses: broken Unicode, NaN."""
    return await client.post(path, content=json.dumps(value), headers={"content-type": "application/json"})


async def told(client: httpx2.AsyncClient, content: str, **fields: object) -> str:
    """Add a memory and return its id."""
    response = await client.post("/memory/add", json={"content": content, **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def listed(client: httpx2.AsyncClient, **params: str | int) -> list[str]:
    """Return the contents of a page, the newest first."""
    response = await client.get("/memory/all", params=params)
    assert response.status_code == 200, response.text
    return [str(item["content"]) for item in response.json()["items"]]


async def asked(client: httpx2.AsyncClient, **question: object) -> list[dict[str, Any]]:
    """Return the matches of a question."""
    response = await client.post("/memory/query", json=question)
    assert response.status_code == 200, response.text
    matches: list[dict[str, Any]] = response.json()["matches"]
    return matches


def problem(response: httpx2.Response, status: int, kind: str) -> dict[str, Any]:
    """Return an answer's problem details after checking their form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found.keys() >= PROBLEM_FIELDS
    assert found["type"] == f"/problems/{kind}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert found["err"] == found["error"]
    return found


def fields(response: httpx2.Response) -> list[str]:
    """Return the names of the fields that a malformed request had wrong."""
    found = problem(response, 400, "malformed")
    assert all(one.keys() == {"field", "message"} and one["message"] for one in found["errors"])
    return [one["field"] for one in found["errors"]]


async def read(client: httpx2.AsyncClient, memory: str) -> dict[str, Any]:
    """Return a memory."""
    response = await client.get(f"/memory/{memory}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found
