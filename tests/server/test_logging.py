"""What the server tells its operator: one event a request, and never what was told."""

import io
import json
import logging
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import FastAPI
from structlog.testing import capture_logs

from openmemory.core.salience import REINFORCEMENT
from openmemory.server.telemetry import configure_logging
from tests.factories import a_tenant
from tests.server.asking import a_client, sent, told
from tests.server.conftest import Started

SECRET = "the-secret-that-was-told"  # noqa: S105 -- stands for content
KEY = "the-server-key-0123456789"
NUMBER = 0.123456789


async def test_each_request_is_one_event(me: httpx2.AsyncClient) -> None:
    with capture_logs() as events:
        memory = await told(me, "The ferry leaves")
        await me.get(f"/memory/{memory}?user_id=ada")
        await me.get("/nowhere")
        await me.request("BREW", "/sectors")
        await me.get("/health")

    assert [(event["event"], event["method"], event["route"], event["status"]) for event in events] == [
        ("request.done", "POST", "/memory/add", 200),
        ("request.done", "GET", "/memory/{id}", 403),
        ("request.done", "any", "none", 404),
        ("request.done", "any", "/sectors", 405),
        ("request.done", "GET", "/health", 200),
    ]
    assert all(type(event["status"]) is int and event["ms"] >= 0 for event in events)
    assert all(event.keys() == {"event", "log_level", "method", "route", "status", "ms"} for event in events)


async def test_no_event_says_what_was_told_or_asked(started: Started) -> None:
    vector = [NUMBER] * 256
    async with started(OM_API_KEY=KEY) as api, a_client(api, a_tenant()) as client:
        with capture_logs() as events:
            for key in (KEY, "wrong-" + KEY):
                client.headers["x-api-key"] = key
                for path, body in (
                    (
                        "/memory/add",
                        {"content": SECRET, "embedding": vector, "tags": [SECRET], "metadata": {"a": SECRET}},
                    ),
                    ("/memory/add", {"content": SECRET, "salience": SECRET}),
                    ("/memory/add", {"content": SECRET, "embedding": [NUMBER]}),
                    ("/memory/query", {"query": SECRET, "embedding": vector}),
                    ("/memory/query", {"query": SECRET, "k": SECRET}),
                    ("/memory/add/batch", {"items": [{"content": SECRET}, {"content": SECRET + "\0"}]}),
                ):
                    await sent(client, path, body)
                await client.get(f"/memory/all?session_id={SECRET}")

    assert len(events) == 14
    assert not leaks(events)


def leaks(events: Any) -> list[str]:  # noqa: ANN401 -- events as structlog captures them, or their text
    """Return which secrets stand in the log."""
    return [secret for secret in (SECRET, KEY, str(NUMBER)) if secret in str(events)]


async def fails(api: FastAPI, monkeypatch: pytest.MonkeyPatch) -> httpx2.Response:
    """Make a write fail as nobody expected, with secrets in the error and in the frames' variables."""

    async def broken(*_: object) -> None:
        content, vector = SECRET, [NUMBER]
        try:
            raise ValueError(content)
        except ValueError as error:
            raise RuntimeError(content, vector) from error

    with monkeypatch.context() as patched:
        patched.setattr(api.state.services.memories, "reinforce", broken)
        async with a_client(api, a_tenant()) as client:
            client.headers["x-api-key"] = KEY
            body = {"id": "00000000-0000-4000-8000-000000000000", "boost": REINFORCEMENT}
            return await client.post("/memory/reinforce", json=body)


async def test_what_nobody_expected_is_logged_with_its_place_and_without_its_words(
    api: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as events:
        await fails(api, monkeypatch)

    failed, done = events
    assert (failed["event"], failed["log_level"], failed["route"]) == ("request.failed", "error", "/memory/reinforce")
    assert (done["event"], done["status"]) == ("request.done", 500)
    assert "RuntimeError" in failed["failure"]
    assert "ValueError" in failed["failure"]
    assert "in broken" in failed["failure"]
    assert not leaks(events)


@pytest.mark.parametrize("form", ["console", "json"])
async def test_no_form_of_the_log_shows_the_variables_of_a_failure(
    started: Started, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    written = io.StringIO()
    before = structlog.get_config()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging("debug", "console" if form == "console" else "json")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        async with started(OM_API_KEY=KEY) as api:
            await fails(api, monkeypatch)
        try:
            raise RuntimeError("expected")
        except RuntimeError:
            content = SECRET
            structlog.get_logger().error("library.failed", exc_info=True)
            assert content
    finally:
        structlog.configure(**before)

    assert "request.failed" in written.getvalue()
    assert "library.failed" in written.getvalue()
    assert not leaks(written.getvalue())
    if form == "json":
        assert all(json.loads(line)["event"] for line in written.getvalue().splitlines())


async def test_libraries_do_not_log_a_failure_again(
    api: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await fails(api, monkeypatch)

    assert not leaks(caplog.text)
