"""Vectors from the words alone, for tests: no table, no network, the same in every process."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from openmemory.adapters.embedders.protocol import Vectors, unit_rows

_WORD = re.compile(r"[^\W_]+")


class HashEmbedder:
    """Feature hashing (Weinberger et al., 2009): each word adds its sign to one of the axes.

    Texts are alike as far as they share words; it knows nothing of meaning.
    """

    name = "hash-v1"

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text; a text without a word gets `unlike_anything`."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(text.lower()):
                # Python's own hash differs between processes.
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                number = int.from_bytes(digest)
                row[(number >> 1) % self.dimension] += 1 if number & 1 else -1
        return unit_rows(vectors)
