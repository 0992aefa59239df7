"""How long an OpenAI-compatible server is waited for, and when it is asked again."""

import asyncio

import pytest

from openmemory.adapters.embedders import OpenAIEmbedder
from openmemory.app import create_embedder
from openmemory.errors import EmbedderUnavailable
from openmemory.server.problems import answer
from openmemory.settings import load
from tests.adapters.embedding import KEY, Naps, embedding, failure
from tests.adapters.provider import dripping, serving, status, well


async def test_a_limited_request_waits_as_the_server_asks_and_tries_again() -> None:
    async with embedding(status(429, "7"), well) as (embedder, provider, naps):
        vectors = await embedder.embed(["word"])

        assert vectors.shape == (1, 3)
        assert naps.seconds == [7.0]
        assert len(provider.bodies) == 2


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.5),
        ("-1", 0.5),
        ("soon", 0.5),
        ("nan", 0.5),
        ("", 0.5),
    ],
)
async def test_a_wait_that_a_server_asks_for_in_no_known_way_is_as_long_as_without(
    retry_after: str, waits: float
) -> None:
    async with embedding(status(503, retry_after), well) as (embedder, _, naps):
        await embedder.embed(["word"])

        assert naps.seconds == [waits]


@pytest.mark.parametrize("retry_after", ["3600", "inf", "Fri, 31 Dec 2199 23:59:59 GMT"])
async def test_a_server_that_asks_for_a_longer_wait_than_there_is_patience_is_given_up_at_once(
    retry_after: str,
) -> None:
    async with embedding(status(503, retry_after)) as (embedder, provider, naps):
        with pytest.raises(EmbedderUnavailable) as refused:
            await embedder.embed(["word"])

        assert refused.value.retry_after_s == 3600
        assert len(provider.bodies) == 1
        assert naps.seconds == []


async def test_a_wait_within_the_patience_is_kept_to() -> None:
    async with embedding(status(429, "25"), well) as (embedder, _, naps):
        await embedder.embed(["word"])

        assert naps.seconds == [25.0]


@pytest.mark.parametrize(("asked", "told"), [("30", 30), ("2.5", 3), ("inf", 3600), ("soon", 1), (None, 1)], ids=str)
async def test_the_wait_that_a_server_asks_for_is_passed_on(asked: str | None, told: int) -> None:
    async with embedding(status(429, asked)) as (embedder, _, _naps):
        with pytest.raises(EmbedderUnavailable) as refused:
            await embedder.embed(["word"])

        assert answer(refused.value, "/memory/query").headers["retry-after"] == str(told)


async def test_it_gives_up_after_four_attempts_each_later_than_the_one_before() -> None:
    async with embedding(status(500)) as (embedder, provider, naps):
        message = await failure(embedder)

        assert "answered 500" in message
        assert len(provider.bodies) == 4
        assert naps.seconds == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(401, "OM_OPENAI_API_KEY"), (404, "OM_OPENAI_BASE_URL"), (307, "OM_EMBED_MODEL")],
)
async def test_what_trying_again_cannot_help_is_said_at_once(code: int, remedy: str) -> None:
    async with embedding(status(code)) as (embedder, provider, naps):
        message = await failure(embedder)

        assert f"answered {code}" in message
        assert remedy in message
        assert len(provider.bodies) == 1
        assert naps.seconds == []


async def test_a_silent_server_is_asked_again_and_then_given_up() -> None:
    async with embedding(None, timeout_s=0.02) as (embedder, _, naps):
        message = await failure(embedder)

        assert "did not answer in time" in message
        assert len(naps.seconds) == 3


async def test_an_answer_that_comes_byte_by_byte_is_given_up_like_none() -> None:
    async with embedding(dripping, timeout_s=0.2) as (embedder, provider, _):
        message = await failure(embedder)

        assert "did not answer in time" in message
        assert len(provider.bodies) == 4


async def test_all_attempts_together_have_one_deadline() -> None:
    async with embedding(None, timeout_s=0.2, patience_s=0.1) as (embedder, provider, naps):
        message = await failure(embedder)

        assert "did not answer in time" in message
        assert len(provider.bodies) == 1
        assert naps.seconds == []


async def test_a_server_that_does_not_listen_is_named() -> None:
    async with serving(well) as provider:
        pass
    embedder = OpenAIEmbedder(provider.url, KEY, "small", 3, sleep=Naps())

    message = await failure(embedder)

    assert f"{provider.url} cannot be reached" in message
    await embedder.aclose()


async def test_at_the_start_somebody_is_told_that_the_server_is_asked() -> None:
    told: list[str] = []
    async with serving(well) as provider:
        chosen = {"OM_EMBEDDINGS": "openai", "OM_EMBED_MODEL": "small", "OM_OPENAI_BASE_URL": provider.url}
        embedder = await asyncio.to_thread(create_embedder, load(environ=chosen), told.append)

    assert embedder.dimension == 3
    assert told == ["asking the embedding server how long its vectors are"]
