"""The embedder for OpenAI-compatible servers, against a server in this process."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from openmemory.adapters.embedders import OpenAIEmbedder, asked_dimension
from openmemory.errors import ConfigurationError, EmbedderUnavailable
from tests.adapters.embedding import KEY, embedding, failure
from tests.adapters.provider import Answer, backwards, rows, serving, status, vectors_of, well


async def test_it_asks_as_the_interface_says() -> None:
    async with embedding(well) as (embedder, provider, _):
        await embedder.embed(["one", "three"])

        assert embedder.name == "openai:small"
        assert provider.paths == ["/v1/embeddings"]
        assert provider.headers[0]["authorization"] == f"Bearer {KEY}"
        assert provider.bodies == [{"model": "small", "input": ["one", "three"], "encoding_format": "float"}]


async def test_a_server_without_keys_gets_no_authorization() -> None:
    async with serving(well) as provider:
        embedder = OpenAIEmbedder(provider.url + "/", None, "small", 3)
        await embedder.embed(["one"])
        await embedder.aclose()

        assert "authorization" not in provider.headers[0]
        assert provider.paths == ["/v1/embeddings"]


async def test_rows_are_of_unit_length_and_in_the_order_of_the_texts() -> None:
    texts = ["a", "four", "sixteen letters!"]

    async with embedding(backwards) as (embedder, _, _):
        vectors = await embedder.embed(texts)

    wanted = np.array(vectors_of(texts))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)


async def test_no_texts_give_no_rows() -> None:
    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed([])

        assert vectors.shape == (0, 3)
        assert provider.bodies == []


async def test_blank_texts_are_not_sent() -> None:
    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed(["", "word", " \n"])

        assert provider.inputs == [["word"]]
        np.testing.assert_array_equal(vectors[[0, 2]], [[0, 0, 1], [0, 0, 1]])


async def test_requests_hold_at_most_256_texts() -> None:
    texts = [f"text {number}" for number in range(600)]

    async with embedding(well) as (embedder, provider, _):
        vectors = await embedder.embed(texts)

        assert [len(batch) for batch in provider.inputs] == [256, 256, 88]
        assert [text for batch in provider.inputs for text in batch] == texts
        assert vectors.shape == (600, 3)


async def test_requests_hold_a_bounded_number_of_characters() -> None:
    texts = ["x" * 30_000] * 20

    async with embedding(well) as (embedder, provider, _):
        await embedder.embed(texts)

        sizes = [sum(map(len, batch)) for batch in provider.inputs]
        assert max(sizes) <= 200_000
        assert sum(sizes) == 20 * 24_000


async def test_the_dimension_is_asked_once() -> None:
    async with serving(well) as provider:
        assert await asked_dimension(provider.url, KEY, "small") == 3

        assert len(provider.bodies) == 1


async def test_a_server_that_refuses_to_tell_its_dimension_is_set_up_wrongly() -> None:
    async with serving(status(400)) as provider:
        with pytest.raises(EmbedderUnavailable, match="answered 400: check OM_EMBED_MODEL"):
            await asked_dimension(provider.url, KEY, "small")


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
    async with serving(status(404)) as provider:
        address = provider.url.replace("http://", "http://me:hidden@") + "?token=hidden"
        embedder = OpenAIEmbedder(address, KEY, "small", 3)
        message = await failure(embedder)
        await embedder.aclose()

    assert "hidden" not in message
    assert provider.paths == ["/v1/embeddings"]


@pytest.mark.parametrize("address", ["localhost:11434/v1", "ftp://host/v1", "", "http://", "http://[::1"])
def test_what_is_no_address_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("OM_OPENAI_BASE_URL")):
        OpenAIEmbedder(address, KEY, "small", 3)
