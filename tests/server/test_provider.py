"""What clients hear where the vectors come from a provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from structlog.testing import capture_logs

from openmemory import app as application
from openmemory.adapters.embedders import OpenAIEmbedder
from openmemory.app import Readied
from openmemory.postgres.statements import Names
from openmemory.settings import load
from tests.adapters.embedding import KEY, Naps
from tests.adapters.provider import Answer, rows, serving, status
from tests.conftest import Server, a_database
from tests.factories import a_tenant
from tests.server.asking import a_client, asked, listed, problem, told

GOOD, UNWELCOME = "The ferry leaves at nine", "an unwelcome word"


@pytest.fixture(scope="module")
def ready(postgres: Server, worker_id: str, names: Names) -> Readied:
    """Return a database whose vectors are this provider's."""
    logins = a_database(postgres, f"om_provider_{worker_id}")
    application.bring_up_to_date(logins, names, OpenAIEmbedder("http://127.0.0.1:9", None, "small", 256))
    return Readied(logins, names)


@asynccontextmanager
async def with_provider(
    ready: Readied, *replies: Callable[[list[str]], Answer] | None, timeout_s: float = 15.0
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a server whose vectors come from a provider that answers so."""
    async with serving(*replies) as provider:
        address = provider.url.replace("http://", f"http://me:{KEY}@")
        embedder = OpenAIEmbedder(address, KEY, "small", 256, timeout_s=timeout_s, sleep=Naps())
        built = application.create_app(load(environ={}), ready, embedder)
        async with built.router.lifespan_context(built), a_client(built, a_tenant()) as client:
            yield client


@pytest.fixture
async def me(ready: Readied) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client whose provider refuses what is unwelcome to it."""
    async with with_provider(ready, picky) as client:
        yield client


def picky(texts: list[str]) -> Answer:
    """Answer 400 where a text is unwelcome."""
    if any(UNWELCOME in text for text in texts):
        return status(400)(texts)
    return rows([{"index": place, "embedding": [1.0] * 256} for place in range(len(texts))])


def refused_field(response: httpx2.Response) -> str:
    """Return the one field that cannot be embedded."""
    found = problem(response, 422, "unprocessable")
    (error,) = found["errors"]
    assert found["detail"] == f"{error['field']}: {error['message']}"
    assert "is refused by the embedding server" in error["message"]
    assert UNWELCOME not in found["detail"]
    return str(error["field"])


async def test_a_content_that_the_provider_refuses_is_the_clients_matter(me: httpx2.AsyncClient) -> None:
    response = await me.post("/memory/add", json={"content": UNWELCOME})

    assert refused_field(response) == "content"


async def test_a_question_that_the_provider_refuses_is_the_clients_matter(me: httpx2.AsyncClient) -> None:
    response = await me.post("/memory/query", json={"query": UNWELCOME})

    assert refused_field(response) == "query"


async def test_a_new_content_that_the_provider_refuses_changes_nothing(me: httpx2.AsyncClient) -> None:
    memory = await told(me, GOOD)

    response = await me.patch(f"/memory/{memory}", json={"content": UNWELCOME})

    assert refused_field(response) == "content"
    assert await listed(me) == [GOOD]


async def test_of_a_whole_batch_the_refused_memory_is_named_and_none_kept(me: httpx2.AsyncClient) -> None:
    items = [{"content": GOOD}, {"content": "given", "embedding": [1.0] * 256}, {"content": UNWELCOME}]

    response = await me.post("/memory/add/batch", json={"items": items})

    assert refused_field(response) == "items[2].content"
    assert await listed(me) == []


async def test_of_a_partial_batch_the_others_are_kept(me: httpx2.AsyncClient) -> None:
    items = [{"content": ""}, {"content": GOOD}, {"content": UNWELCOME}, {"content": "Another"}]

    response = await me.post("/memory/add/batch", json={"items": items, "partial": True})

    results = response.json()["results"]
    assert [one.get("status") for one in results] == [400, None, 422, None]
    assert results[2]["errors"][0]["field"] == "items[2].content"
    assert await listed(me) == ["Another", GOOD]
    assert len(await asked(me, query="ferry")) > 0


def a_page(texts: list[str]) -> Answer:
    """Answer with a page for people that repeats a text."""
    return Answer(b"<html>" + texts[0].encode())


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (status(429), "status", 429),
        (status(401), "status", 401),
        (status(500), "status", 500),
        (a_page, "answer", None),
        (None, "timeout", None),
    ],
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/memory/add", {"content": GOOD}),
        ("/memory/query", {"query": GOOD}),
        ("/memory/add/batch", {"items": [{"content": GOOD}], "partial": True}),
    ],
    ids=["add", "query", "batch"],
)
async def test_the_log_says_why_the_provider_failed(
    ready: Readied,
    reply: Callable[[list[str]], Answer] | None,
    kind: str,
    code: int | None,
    path: str,
    body: dict[str, object],
) -> None:
    async with with_provider(ready, reply, timeout_s=15.0 if reply else 0.05) as client:
        with capture_logs() as events:
            problem(await client.post(path, json=body), 503, "embedder-unavailable")

    (failed,) = (event for event in events if event["event"] == "embedder.unavailable")
    assert failed.pop("host").startswith("127.0.0.1:")
    assert failed == {"event": "embedder.unavailable", "log_level": "warning", "kind": kind, "status": code}
    assert not [secret for secret in (GOOD, KEY) if secret in str(events)]
