"""What every embedder offers."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from openmemory.errors import Unprocessable

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """A vector space and the way into it."""

    @property
    def name(self) -> str:
        """Return what the database records, such as `static-v1` or `openai:text-embedding-3-small`.

        Two embedders of one name and dimension give the same vectors, or the name must change.
        """
        ...

    @property
    def dimension(self) -> int | None:
        """Return the length of a vector, or None if it embeds nothing, since requests bring their vectors."""
        ...

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text, in order: shape (len(texts), dimension).

        A text that says nothing to the embedder (an empty one) gets `unlike_anything`, never NaN. Raises TextsRefused
        for texts that its provider does not accept.
        """
        ...


class TextsRefused(Unprocessable):
    """The provider refuses the texts at `places` and accepts the others; `vectors` has the rows of these.

    `reason` continues a sentence that begins with the text.
    """

    def __init__(self, reason: str, places: Sequence[int], vectors: Vectors) -> None:
        super().__init__(f"a text {reason}")
        self.reason = reason
        self.places = tuple(places)
        self.vectors = vectors


def unit_rows(vectors: Vectors) -> Vectors:
    """Return the rows scaled to unit length, a row of zeros replaced by `unlike_anything`; in place."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, np.newaxis]
    if not lengths.all():
        nothing = lengths[:, 0] == 0
        vectors[nothing] = unlike_anything(vectors.shape[1])
        lengths[nothing] = 1
    vectors /= lengths
    return vectors


def unlike_anything(dimension: int) -> Vectors:
    """Return the vector of a text without content: the last axis, which is no nearer to one text than another."""
    vector = np.zeros(dimension, np.float32)
    vector[-1] = 1
    return vector
