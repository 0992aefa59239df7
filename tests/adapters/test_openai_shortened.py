"""Vectors of another length than the server's model makes by itself, which is asked to shorten them."""

import asyncio
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from openmemory.adapters.embedders import TextsRefused
from openmemory.errors import EmbedderUnavailable
from tests.adapters.embedding import embedding, failure
from tests.adapters.provider import Answer, Provider, Texts, of_length, status

SHORTENING = partial(of_length, 1536)


def ignoring(texts: Texts) -> Answer:
    """Answer as a server that knows no `dimensions`, and does not mind."""
    texts.dimensions = None
    return of_length(4, texts)


def refusing(texts: Texts) -> Answer:
    """Answer as a server that refuses `dimensions`."""
    return status(400)(texts) if texts.dimensions else of_length(4, texts)


def asked(provider: Provider) -> list[int | None]:
    """Return the `dimensions` of each request."""
    return [body.get("dimensions") for body in provider.bodies]


async def test_a_model_is_asked_to_shorten_once_it_has_answered_another_length() -> None:
    async with embedding(SHORTENING, dimension=256) as (embedder, provider, naps):
        vectors = await embedder.embed(["word"])
        await embedder.embed(["more", "words"])

        assert vectors.shape == (1, 256)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        assert asked(provider) == [None, 256, 256]
        assert naps.seconds == []


async def test_a_full_batch_is_shortened_although_its_long_vectors_are_more_than_is_read() -> None:
    texts = [f"text {place}" * 20 for place in range(600)]
    async with embedding(_in_full_digits, dimension=256) as (embedder, provider, _):
        vectors = await embedder.embed(texts)

        assert vectors.shape == (600, 256)
        assert asked(provider)[-3:] == [256, 256, 256]
        assert len(provider.bodies) == 5


def _in_full_digits(texts: Texts) -> Answer:
    answer = of_length(3072, texts)
    return Answer(answer.body.replace(b",1", b",0.012345678901234567"))


async def test_batches_in_flight_at_the_first_answer_are_all_shortened() -> None:
    async with embedding(SHORTENING, dimension=256) as (embedder, provider, _):
        found = await asyncio.gather(*(embedder.embed([f"text {place}"]) for place in range(8)))
        await embedder.embed(["one more"])

        assert {vectors.shape for vectors in found} == {(1, 256)}
        assert asked(provider)[-1] == 256
        assert len(provider.bodies) <= 17


async def test_the_request_that_asks_to_shorten_is_tried_again_like_any_other() -> None:
    async with embedding(SHORTENING, status(429, "7"), SHORTENING, dimension=256) as (embedder, provider, naps):
        assert (await embedder.embed(["word"])).shape == (1, 256)

        assert asked(provider) == [None, 256, 256]
        assert naps.seconds == [7.0]


async def test_a_text_that_is_refused_is_cut_while_vectors_are_shortened() -> None:
    def short_texts(texts: Texts) -> Answer:
        return status(400)(texts) if max(map(len, texts)) > 1_500 else SHORTENING(texts)

    async with embedding(short_texts, dimension=256) as (embedder, provider, _):
        await embedder.embed(["short"])
        vectors = await embedder.embed(["word " * 1_000, "other"])

        assert vectors.shape == (2, 256)
        assert set(asked(provider)[1:]) == {256}


async def test_texts_that_are_refused_alone_leave_the_others_their_shortened_vectors() -> None:
    def welcome(texts: Texts) -> Answer:
        return status(400)(texts) if "unwelcome" in texts else SHORTENING(texts)

    async with embedding(welcome, dimension=256) as (embedder, _, _naps):
        with pytest.raises(TextsRefused) as refused:
            await embedder.embed(["one", "unwelcome", "three"])

        assert refused.value.places == (1,)
        assert refused.value.vectors.shape == (3, 256)


@pytest.mark.parametrize(("reply", "how"), [(ignoring, "shortens none"), (refusing, "refuses to shorten them")])
async def test_a_server_that_does_not_shorten_is_asked_once_and_both_lengths_are_named(
    reply: Callable[[Texts], Answer], how: str
) -> None:
    async with embedding(reply) as (embedder, provider, naps):
        message = await failure(embedder)

        assert "vectors of 4 dimensions where 3 are expected" in message
        assert how in message
        assert "OM_EMBED_MODEL" in message
        assert "openmemory reembed" in message
        assert "OM_EMBEDDINGS=none" in message
        assert asked(provider) == [None, 3]
        assert naps.seconds == []


@pytest.mark.parametrize("reply", [ignoring, refusing])
async def test_a_full_batch_finds_out_a_server_that_does_not_shorten(
    reply: Callable[[Texts], Answer],
) -> None:
    async with embedding(reply) as (embedder, provider, _):
        with pytest.raises(EmbedderUnavailable, match="4 dimensions where 3 are expected"):
            await embedder.embed([f"text {place}" for place in range(256)])

        assert asked(provider) == [None, 3]


async def test_an_answer_that_is_too_long_for_another_reason_is_said_to_be() -> None:
    def flooding(texts: Texts) -> Answer:
        answer = of_length(3, texts)
        return answer if len(texts) == 1 else Answer(answer.body + b" " * (2 << 20))

    async with embedding(flooding) as (embedder, provider, _):
        with pytest.raises(EmbedderUnavailable, match="answers more than"):
            await embedder.embed(["one", "two"])

        assert asked(provider) == [None, None]


async def test_a_server_that_stops_to_shorten_is_not_asked_in_a_circle() -> None:
    async with embedding(SHORTENING, SHORTENING, ignoring, dimension=256) as (embedder, provider, _):
        await embedder.embed(["word"])
        message = await failure(embedder)

        assert "vectors of 4 dimensions where 256 are expected" in message
        assert asked(provider) == [None, 256, 256]


async def test_a_model_of_the_right_length_is_never_asked_for_one() -> None:
    async with embedding(partial(of_length, 3)) as (embedder, provider, _):
        await embedder.embed(["one"])
        await embedder.embed(["two", "three"])

        assert asked(provider) == [None, None]
