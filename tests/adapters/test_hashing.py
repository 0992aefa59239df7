"""The embedder for tests, and the one that refuses."""

import numpy as np
import pytest

from openmemory.adapters.embedders import Embedder, HashEmbedder, NoEmbedder, OpenAIEmbedder, StaticEmbedder
from openmemory.errors import Unprocessable


async def test_a_word_has_the_same_axis_and_sign_in_every_process() -> None:
    vectors = await HashEmbedder(4).embed(["walk", "Run; WALK!"])

    assert vectors[0].tolist() == [-1, 0, 0, 0]
    np.testing.assert_allclose(vectors[1], [-(0.5**0.5), 0, 0.5**0.5, 0], rtol=1e-6)


async def test_rows_are_of_unit_length_also_without_a_word() -> None:
    vectors = await HashEmbedder().embed(["I love my dog", "", "?!", "собака"])

    assert vectors.shape == (4, 256)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert vectors[1].tolist() == [0] * 255 + [1]


async def test_texts_that_share_words_are_nearer() -> None:
    vectors = await HashEmbedder().embed(["I love my dog", "My DOG sleeps", "the market fell"])

    assert vectors[0] @ vectors[1] > 0.4
    assert abs(vectors[0] @ vectors[2]) < 0.3


async def test_the_embedder_that_refuses_says_what_to_send() -> None:
    with pytest.raises(Unprocessable, match="OM_EMBEDDINGS=none: send `embedding` with the request"):
        await NoEmbedder().embed(["word"])


def test_each_says_what_the_database_records() -> None:
    embedders: list[Embedder] = [
        StaticEmbedder(),
        HashEmbedder(64),
        NoEmbedder(),
        OpenAIEmbedder("http://127.0.0.1/v1", None, "small", 3),
    ]

    assert [(embedder.name, embedder.dimension) for embedder in embedders] == [
        ("static-v1", 256),
        ("hash-v1", 64),
        ("none", None),
        ("openai:small", 3),
    ]
