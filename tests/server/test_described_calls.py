"""Requests made from the description of the interface, right and wrong ones: nothing fails, and answers conform."""

from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.status_calls import About
from tests.factories import a_tenant
from tests.server.serving import PATIENCE_S

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


def an_api() -> FastAPI:
    """Return the application for its description only."""
    return create_api(lambda: NotImplemented, HeaderAuth(True), About("1", "hash", "hash", 256, "hybrid"))


def configured() -> SchemathesisConfig:
    """Return a configuration that makes requests that fit the description, and others."""
    config = SchemathesisConfig()
    config.projects.default.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return config


description = an_api().openapi()
schema = schemathesis.openapi.from_dict(description, config=configured())


@pytest.fixture(scope="session")
def session() -> requests.Session:
    """Return a client that keeps its connection."""
    return requests.Session()


@schema.parametrize()
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_is_answered_as_described(
    case: "Case[APIOperation[Any, Any, Any, Any]]", url: str, session: requests.Session
) -> None:
    case.call_and_validate(base_url=url, checks=CHECKS, session=session)


MEMORY = "00000000-0000-4000-8000-00000000000d"
QUESTION = {"query": "When does the ferry leave?", "explain": True, "filters": {"user_id": "ada"}}
RIGHT: list[tuple[str, str, Any]] = [
    ("POST", "/memory/add", {"content": "The ferry leaves at nine", "id": MEMORY, "user_id": "ada", "occurred_at": 0}),
    (
        "POST",
        "/memory/add/batch",
        {"items": [{"content": "Bees hum on the roof", "tags": ["bees"]}, {}], "partial": True},
    ),
    ("POST", "/memory/query", QUESTION),
    (
        "POST",
        "/memory/query",
        {"query": "ferry", "k": 1, "include_shared": True, "since": "1969-01-01", "tags_any": []},
    ),
    ("GET", "/memory/all?limit=1", None),
    ("GET", "/memory/{id}", None),
    ("PATCH", "/memory/{id}", {"metadata": {"a": [1, None, "x"]}, "tags": ["sea"]}),
    ("POST", "/memory/reinforce", {"id": MEMORY}),
    ("GET", "/users/{user_id}/memories", None),
    ("GET", "/sectors", None),
    ("DELETE", "/memory/{id}", None),
    ("DELETE", "/users/{user_id}/memories", None),
    *(("GET", path, None) for path in ("/health", "/ready", "/metrics")),
]


def test_the_right_answers_are_as_described_too(url: str, session: requests.Session) -> None:
    """Made requests seldom hit a memory, so these do."""
    headers = {"x-tenant-id": a_tenant()}
    called = set()
    for method, path, body in RIGHT:
        where = url + path.format(id=MEMORY, user_id="ada")
        response = session.request(method, where, json=body, headers=headers, timeout=PATIENCE_S)

        assert response.status_code == 200, (path, response.text)
        called.add((method, path.partition("?")[0]))
        schema[path.partition("?")[0]][method].validate_response(response)
    assert called == {(method.upper(), path) for path, calls in description["paths"].items() for method in calls}
