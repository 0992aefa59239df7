"""Synthetic vectors are told by the zeros among their numbers, and those of a model are never taken for such."""

import asyncio

import numpy as np
import numpy.typing as npt
import pytest

from openmemory.adapters.embedders import StaticEmbedder
from openmemory.core.synthetic import Sample, samples

TEXTS = [f"Noor bought {number} espresso machines in Oaxaca" for number in range(40)]


def of_a_model(dimension: int) -> npt.NDArray[np.float32]:
    """Return vectors as a model's server makes them: one number far from the others, and all of 24 bits."""
    vectors = np.random.default_rng(5).normal(size=(40, dimension)).astype(np.float32)
    vectors[:, 3] = 0.7 * np.sqrt(dimension)
    return vectors


def in_8_bits(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the vectors with 127 steps between zero and the largest number."""
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 127
    return np.asarray(np.round(vectors / scale), np.float32)


def told(vectors: npt.NDArray[np.float32]) -> Sample:
    """Return what these vectors are seen to hold."""
    (one,) = samples(vector.astype("<f4").tobytes() for vector in vectors).values()
    return one


@pytest.mark.parametrize("dimension", [64, 384, 768, 1536, 3072])
def test_vectors_of_a_model_are_not_synthetic_in_8_bits_either(dimension: int) -> None:
    whole, rough = told(of_a_model(dimension)), told(in_8_bits(of_a_model(dimension)))

    assert (whole.synthetic, whole.zeros) == (0, 0)
    assert rough.synthetic == 0
    assert rough.zeros > 0


def test_the_vectors_of_the_static_table_are_not_synthetic() -> None:
    assert told(asyncio.run(StaticEmbedder().embed(TEXTS))).synthetic == 0


def test_half_precision_makes_no_vector_synthetic() -> None:
    vectors = of_a_model(1536)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    assert told(vectors.astype(np.float16).astype(np.float32)).synthetic == 0


def test_a_models_vectors_that_upstream_filled_up_with_zeros_are_not_synthetic() -> None:
    assert told(np.hstack([of_a_model(768), np.zeros((40, 768), np.float32)])) == Sample(40, 0, 0.0)


def test_vectors_with_zeros_among_their_numbers_are_synthetic() -> None:
    vectors = of_a_model(256)
    vectors[:30, ::4] = 0

    found = told(vectors)

    assert (found.count, found.synthetic) == (40, 30)
    assert found.is_synthetic


def test_a_few_synthetic_ones_do_not_make_all_of_them_so() -> None:
    vectors = of_a_model(256)
    vectors[:3, ::2] = 0

    assert not told(vectors).is_synthetic
    assert told(vectors).synthetic == 3


def test_what_is_no_vector_is_passed_over() -> None:
    assert samples([b"", b"abc", b"\0" * 8]) == {2: Sample(1, 0, 0.0)}
