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


schema = schemathesis.openapi.from_dict(an_api().openapi(), config=configured())


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
