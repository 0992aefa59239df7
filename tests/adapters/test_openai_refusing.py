"""Texts that an OpenAI-compatible server does not take: too long for the model, too many, or unwelcome."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from openmemory.adapters.embedders import TextsRefused
from openmemory.errors import EmbedderUnavailable
from tests.adapters.embedding import KEY, embedding
from tests.adapters.provider import Answer, status, vectors_of, well

UNWELCOME = "unwelcome"


def refusing(refuses: Callable[[list[str]], bool], code: int = 400) -> Callable[[list[str]], Answer]:
    """Return a reply that is `code` for what `refuses`."""
    return lambda texts: status(code)(texts) if refuses(texts) else well(texts)


def longer_than(characters: int, code: int = 400) -> Callable[[list[str]], Answer]:
    """Return a reply that is `code` where a text is longer."""
    return refusing(lambda texts: max(map(len, texts)) > characters, code)


def unwelcome(texts: list[str]) -> bool:
    return any(UNWELCOME in text for text in texts)


def of_unit_length(texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the vectors that the provider gives for `texts`."""
    found = np.array(vectors_of(texts))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float64)


@pytest.mark.parametrize(
    ("character", "sent"), [("x", 24_000), ("é", 24_000), ("語", 8_000), ("ж", 8_000), ("🙂", 2_666)]
)
async def test_as_much_of_a_text_is_sent_as_models_read(character: str, sent: int) -> None:
    async with embedding(well) as (embedder, provider, _):
        await embedder.embed([character * 30_000])

        assert [len(text) for text in provider.inputs[0]] == [sent]
        assert len(provider.bodies) == 1


async def test_requests_are_bounded_by_tokens() -> None:
    async with embedding(well) as (embedder, provider, _):
        await embedder.embed(["語" * 10_000] * 20)

        assert max(sum(map(len, batch)) for batch in provider.inputs) <= 70_000
        assert sum(map(len, provider.inputs)) == 20


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_a_text_that_is_too_long_for_the_model_is_embedded_by_its_beginning(code: int) -> None:
    text = "word " * 2_000
    async with embedding(longer_than(1_500, code)) as (embedder, provider, _):
        vectors = await embedder.embed([text])

        assert [len(text) for texts in provider.inputs for text in texts] == [10_000, 5, 5_000, 2_500, 1_250]
        np.testing.assert_allclose(vectors, of_unit_length([text[:1_250]]), rtol=1e-6)


async def test_where_texts_are_refused_together_the_others_have_their_vectors() -> None:
    texts = ["word " * 2_000 if place == 2 else f"text {place}" for place in range(20)]
    async with embedding(longer_than(1_500)) as (embedder, _, _naps):
        vectors = await embedder.embed(texts)

    np.testing.assert_allclose(vectors, of_unit_length([text[:1_250] for text in texts]), rtol=1e-6)


async def test_a_server_that_takes_fewer_texts_at_a_time_gets_fewer() -> None:
    async with embedding(refusing(lambda texts: len(texts) > 32, 422)) as (embedder, _, _naps):
        vectors = await embedder.embed([f"text {place}" for place in range(100)])

    assert vectors.shape == (100, 3)


async def test_texts_that_are_refused_by_themselves_are_named_and_the_others_embedded() -> None:
    texts = [f"{UNWELCOME} text" if place in {3, 17} else "x" * place for place in range(1, 21)]
    async with embedding(refusing(unwelcome)) as (embedder, provider, _):
        with pytest.raises(TextsRefused) as refused:
            await embedder.embed(["", *texts])

        assert refused.value.places == (3, 17)
        others = [place for place in range(1, 21) if place not in {3, 17}]
        np.testing.assert_allclose(
            refused.value.vectors[others], of_unit_length([texts[place - 1] for place in others]), rtol=1e-6
        )
        assert len(provider.bodies) < 25
        assert "127.0.0.1" in refused.value.detail
        assert UNWELCOME not in refused.value.detail
        assert KEY not in refused.value.detail


async def test_a_server_that_refuses_a_plain_text_too_is_set_up_wrongly() -> None:
    async with embedding(status(400)) as (embedder, provider, _):
        with pytest.raises(EmbedderUnavailable) as unavailable:
            await embedder.embed([f"text {place}" for place in range(100)])

        assert "answered 400: check OM_EMBED_MODEL" in unavailable.value.detail
        assert len(provider.bodies) == 2


async def test_to_find_the_refused_texts_takes_no_longer_than_there_is_patience() -> None:
    def slow(texts: list[str]) -> Answer:
        return replace(Answer(b"no", 400), pause_s=0.1) if unwelcome(texts) else well(texts)

    async with embedding(slow, patience_s=0.4) as (embedder, provider, _):
        with pytest.raises(EmbedderUnavailable, match="takes too long to find out which"):
            await embedder.embed([UNWELCOME] * 64)

        assert len(provider.bodies) < 10


@pytest.mark.parametrize("is_compressed", [False, True])
async def test_of_an_answer_no_more_is_read_than_vectors_take(is_compressed: bool) -> None:
    blanks = b" " * (8 << 20)
    headers = ((b"content-encoding", b"gzip"),) if is_compressed else ()
    flood = Answer(gzip.compress(blanks) if is_compressed else blanks, headers=headers)
    async with embedding(lambda _: flood) as (embedder, provider, _):
        with pytest.raises(EmbedderUnavailable, match=r"answers more than 1,048,\d{3} bytes: check OM_OPENAI_BASE_URL"):
            await embedder.embed(["x"])

        assert len(provider.bodies) == 1


async def test_an_answer_may_spread_its_numbers() -> None:
    def spread(texts: list[str]) -> Answer:
        body = json.loads(well(texts).body)
        return Answer(json.dumps(body, indent=8).encode())

    async with embedding(spread) as (embedder, _, _):
        assert (await embedder.embed(["ab"] * 256)).shape == (256, 3)
