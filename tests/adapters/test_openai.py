"""The embedder for OpenAI-compatible servers, against a server in this process."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from openmemory.adapters.embedders import OpenAIEmbedder
from openmemory.errors import ConfigurationError, EmbedderUnavailable
from openmemory.server.problems import answer
from tests.adapters.provider import Answer, Provider, backwards, rows, serving, status, vectors_of, well

KEY = "sk-very-secret"
TEXT = "my diary says something private"


@dataclass
class Naps:
    """A sleeper that only remembers."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        """Note the nap."""
        self.seconds.append(seconds)


@asynccontextmanager
async def embedding(
    *replies: Callable[[list[str]], Answer] | None, dimension: int | None = 3, timeout_s: float = 5.0
) -> AsyncIterator[tuple[OpenAIEmbedder, Provider, Naps]]:
    """Yield an embedder, the provider it asks, and its naps; without jitter each is as long as it may be."""
    async with serving(*replies) as provider:
        naps = Naps()
        embedder = OpenAIEmbedder(
            provider.url, KEY, "small", dimension, timeout_s=timeout_s, sleep=naps, jitter=lambda: 1.0
        )
        yield embedder, provider, naps
        await embedder.aclose()


async def failure(embedder: OpenAIEmbedder) -> str:
    """Return the message of the failure to embed TEXT, having checked that it keeps secrets."""
    with pytest.raises(EmbedderUnavailable) as caught:
        await embedder.embed([TEXT], "document")
    message = caught.value.detail
    assert KEY not in message
    assert TEXT not in message
    assert "127.0.0.1" in message
    return message


async def test_it_asks_as_the_interface_says() -> None:
    async with embedding(well) as (embedder, provider, _):
        await embedder.embed(["one", "three"], "query")

        assert embedder.name == "openai:small"
        assert provider.paths == ["/v1/embeddings"]
        assert provider.headers[0]["authorization"] == f"Bearer {KEY}"
        assert provider.bodies == [{"model": "small", "input": ["one", "three"], "encoding_format": "float"}]


async def test_a_server_without_keys_gets_no_authorization() -> None:
    async with serving(well) as provider:
        embedder = OpenAIEmbedder(provider.url + "/", None, "small", 3)
        await embedder.embed(["one"], "query")
        await embedder.aclose()

        assert "authorization" not in provider.headers[0]
        assert provider.paths == ["/v1/embeddings"]


async def test_rows_are_of_unit_length_and_in_the_order_of_the_texts() -> None:
    texts = ["a", "four", "sixteen letters!"]

    async with embedding(backwards) as (embedder, _, _):
        vectors = await embedder.embed(texts, "document")

    wanted = np.array(vectors_of(texts))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)


async def test_no_texts_give_no_rows() -> None:
    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed([], "document")

        assert vectors.shape == (0, 3)
        assert provider.bodies == []


async def test_blank_texts_are_not_sent() -> None:
    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed(["", "word", " \n"], "document")

        assert provider.inputs == [["word"]]
        np.testing.assert_array_equal(vectors[[0, 2]], [[0, 0, 1], [0, 0, 1]])


async def test_requests_hold_at_most_256_texts() -> None:
    texts = [f"text {number}" for number in range(600)]

    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed(texts, "document")

        assert [len(batch) for batch in provider.inputs] == [256, 256, 88]
        assert [text for batch in provider.inputs for text in batch] == texts
        assert vectors.shape == (600, 3)


async def test_requests_hold_a_bounded_number_of_characters() -> None:
    texts = ["x" * 30_000] * 20

    async with embedding(well) as (embedder, provider, _):
        await embedder.embed(texts, "document")

        sizes = [sum(map(len, batch)) for batch in provider.inputs]
        assert max(sizes) <= 200_000
        assert sum(sizes) == 20 * 24_000


async def test_the_dimension_is_asked_once() -> None:
    async with embedding(well, dimension=None) as (embedder, provider, _):
        assert await embedder.probe() == 3
        assert await embedder.probe() == 3
        await embedder.embed(["word"], "query")

        assert embedder.dimension == 3
        assert len(provider.bodies) == 2


async def test_a_limited_request_waits_as_the_server_asks_and_tries_again() -> None:
    async with embedding(status(429, "7"), well) as (embedder, provider, naps):
        vectors = await embedder.embed(["word"], "query")

        assert vectors.shape == (1, 3)
        assert naps.seconds == [7.0]
        assert len(provider.bodies) == 2


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        ("3600", 20.0),
        ("Fri, 31 Dec 2199 23:59:59 GMT", 20.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.5),
        ("-1", 0.5),
        ("soon", 0.5),
        ("nan", 0.5),
        ("", 0.5),
    ],
)
async def test_the_wait_that_a_server_asks_for_is_bounded(retry_after: str, waits: float) -> None:
    async with embedding(status(503, retry_after), well) as (embedder, _, naps):
        await embedder.embed(["word"], "query")

        assert naps.seconds == [waits]


@pytest.mark.parametrize(("asked", "told"), [("30", 30), ("2.5", 3), ("inf", 3600), ("soon", 1), (None, 1)], ids=str)
async def test_the_wait_that_a_server_asks_for_is_passed_on(asked: str | None, told: int) -> None:
    async with embedding(status(429, asked)) as (embedder, _, _naps):
        with pytest.raises(EmbedderUnavailable) as refused:
            await embedder.embed(["word"], "query")

        assert answer(refused.value, "/memory/query").headers["retry-after"] == str(told)


async def test_it_gives_up_after_four_attempts_each_later_than_the_one_before() -> None:
    async with embedding(status(500)) as (embedder, provider, naps):
        message = await failure(embedder)

        assert "answered 500" in message
        assert len(provider.bodies) == 4
        assert naps.seconds == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(400, "OM_EMBED_MODEL"), (401, "OM_OPENAI_API_KEY"), (404, "OM_OPENAI_BASE_URL"), (307, "OM_EMBED_MODEL")],
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


async def test_a_server_that_does_not_listen_is_named() -> None:
    async with serving(well) as provider:
        pass
    embedder = OpenAIEmbedder(provider.url, KEY, "small", 3, sleep=Naps())

    message = await failure(embedder)

    assert f"{provider.url} cannot be reached" in message
    await embedder.aclose()


def garbage(texts: list[str]) -> Answer:
    return Answer(b"<html>" + texts[0].encode())


def without_data(texts: list[str]) -> Answer:
    return Answer(b'{"error": {"message": "no"}}')


def a_list(texts: list[str]) -> Answer:
    return Answer(b"[1, 2]")


def ragged(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [1.0, [2.0]]}])


def in_base64(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": "AACAPwAAAAA="}])


def too_few(texts: list[str]) -> Answer:
    return rows([])


def twice(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [1, 2, 3]}] * 2)


def elsewhere(texts: list[str]) -> Answer:
    return rows([{"index": 5, "embedding": [1, 2, 3]}])


def without_numbers(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [1, None, 3]}])


def too_large_numbers(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [1, 1e300, 3]}])


def nothing_but_zeros(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [0, 0, 0]}])


def too_long(texts: list[str]) -> Answer:
    return rows([{"index": 0, "embedding": [1, 2, 3, 4]}])


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (garbage, "does not answer as POST /embeddings should"),
        (without_data, "does not answer as POST /embeddings should"),
        (a_list, "does not answer as POST /embeddings should"),
        (ragged, "does not answer as POST /embeddings should"),
        (in_base64, "does not answer as POST /embeddings should"),
        (too_few, "answered 0 vectors for 1 texts"),
        (twice, "answered 2 vectors for 1 texts"),
        (elsewhere, "in no order"),
        (without_numbers, "not finite numbers"),
        (too_large_numbers, "not finite numbers"),
        (nothing_but_zeros, "all zeros"),
        (too_long, "vectors of 4 dimensions where 3 are expected"),
    ],
)
async def test_a_wrong_answer_is_refused(reply: Callable[[list[str]], Answer], problem: str) -> None:
    async with embedding(reply) as (embedder, _, naps):
        assert problem in await failure(embedder)
        assert naps.seconds == []


async def test_a_password_in_the_address_is_not_shown() -> None:
    async with serving(status(400)) as provider:
        address = provider.url.replace("http://", "http://me:hidden@") + "?token=hidden"
        embedder = OpenAIEmbedder(address, KEY, "small", 3)
        message = await failure(embedder)
        await embedder.aclose()

    assert "hidden" not in message
    assert provider.paths == ["/v1/embeddings"]


@pytest.mark.parametrize("address", ["localhost:11434/v1", "ftp://host/v1", "", "http://", "http://[::1"])
def test_what_is_no_address_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("OM_OPENAI_BASE_URL")):
        OpenAIEmbedder(address, KEY, "small")
