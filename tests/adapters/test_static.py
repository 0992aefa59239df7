"""The embedder that comes with the package."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.adapters.embedders import StaticEmbedder, Vectors
from openmemory.errors import ConfigurationError

EMBEDDER = StaticEmbedder()


async def embed(*texts: str) -> Vectors:
    return await EMBEDDER.embed(texts)


async def test_rows_are_of_unit_length() -> None:
    vectors = await embed("I love my dog", "7", "Где моя собака?", "我的狗很好", "x" * 10_000)

    assert vectors.shape == (5, 256)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


async def test_no_texts_give_no_rows() -> None:
    assert (await embed()).shape == (0, 256)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("I love my dog", "my puppy is great", "the stock market fell"),
        ("When did she paint the sunrise?", "Yesterday I finished a watercolour of the morning sky", "He bought a car"),
        ("What is his job?", "I work as a nurse in the hospital", "We had pizza by the lake"),
    ],
)
async def test_what_means_the_same_is_nearer(text: str, near: str, far: str) -> None:
    vectors = await embed(text, near, far)

    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00", "\u200d\ufe0f"])
async def test_a_text_of_nothing_is_the_last_axis(text: str) -> None:
    vectors = await embed(text, "a word")

    assert vectors[0].tolist() == [0] * 255 + [1]


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        ("\U0001faa9", "\U0001faa9 \U0001faa9", "\U0001fabc"),
        ("ᚠᚢᚦ", "ᚠᚢᚦ ᚨᚱᚲ", "ᚷᚹᚺ"),
        ("\U0001faa9", "\U0001faa9\ufe0f", "\U0001fabc\ufe0f"),
    ],
)
async def test_texts_without_a_known_token_are_alike_as_they_share_words(text: str, same: str, other: str) -> None:
    vectors = await embed(text, same, other, "I love my dog", "")

    to = vectors @ vectors[0]
    assert to[1] > 0.6
    assert np.abs(to[2:]).max() < 0.3


async def test_the_vector_of_an_unknown_word_never_changes() -> None:
    (vector,) = await embed("\U0001faa9")

    assert "".join("1" if sign else "0" for sign in vector[:16] > 0) == "1010010110100100"


async def test_unknown_tokens_and_case_change_nothing() -> None:
    vectors = await embed("I love my dog", "i LOVE my \U0001faa9 dog")

    np.testing.assert_array_equal(vectors[0], vectors[1])


async def test_a_text_is_embedded_alike_alone_among_many_and_in_a_thread() -> None:
    texts = [f"memory number {number} of the user" for number in range(500)]

    together = await EMBEDDER.embed(texts)
    alone = await EMBEDDER.embed(texts[123:124])

    np.testing.assert_array_equal(together[123], alone[0])


@given(st.lists(st.text(max_size=200), max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_text_has_a_unit_vector(texts: list[str]) -> None:
    vectors = EMBEDDER.load().embed(texts)

    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(len(texts)), rtol=1e-6)


def test_making_one_reads_nothing() -> None:
    code = (
        "import sys; from openmemory.adapters.embedders import StaticEmbedder; StaticEmbedder();"
        "sys.exit('tokenizers' in sys.modules or 'safetensors' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_missing_table_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="install the package again"):
        await StaticEmbedder(tmp_path).embed(["word"])


async def test_a_broken_table_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")

    with pytest.raises(ConfigurationError, match="install the package again"):
        await StaticEmbedder(tmp_path).embed(["word"])
