"""The sign bits of embeddings; the count of bits that differ tells how near a row is to a question."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import Floats
from openmemory.core.memory import Embedding
from openmemory.core.ranking import Distances, Rows, estimate

Words = npt.NDArray[np.uint64]

_WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Codes:
    """The sign bits of rows, as words of 64 bits: a row of the array for each word, a column for each code.

    `firsts`: one code for each row, which means nothing if the row is not `embedded`. `more`: further codes of rows
    that have several, as in an old database one for each sector; `more_of`: the row of each.
    """

    firsts: Words
    embedded: npt.NDArray[np.bool_]
    more: Words
    more_of: Rows

    @classmethod
    def of(
        cls, codes: npt.NDArray[np.uint8], embedded: npt.NDArray[np.bool_], firsts: npt.NDArray[np.bool_]
    ) -> "Codes":
        """Return the codes of rows that follow one another; each row begins where `firsts` is true.

        `codes`: a line of bytes for each code. The embedded codes of a row come first.
        """
        more = ~firsts & embedded
        of_row = np.cumsum(firsts) - 1
        return cls(_words(codes[firsts]), embedded[firsts], _words(codes[more]), of_row[more])

    @property
    def size_bytes(self) -> int:
        """How much memory they take."""
        return self.firsts.nbytes + self.embedded.nbytes + self.more.nbytes + self.more_of.nbytes

    def with_more(self, other: "Codes", at: Rows) -> "Codes":
        """Return the codes of both, with each row of `other` put before the row that `at` names."""
        own, theirs = np.arange(len(self.embedded)), np.arange(len(other.embedded))
        moved, put = own + np.searchsorted(at, own, "right"), at + theirs
        return Codes(
            np.insert(self.firsts, at, other.firsts, axis=1),
            np.insert(self.embedded, at, other.embedded),
            np.concatenate((self.more, other.more), axis=1),
            np.concatenate((moved[self.more_of], put[other.more_of])),
        )

    def similarities(self, embedding: Embedding) -> Floats:
        """Return each row's similarity, estimated from its nearest code; a row without a code is as near as chance."""
        asked = _words(np.packbits(embedding > 0)[np.newaxis])
        distances = _distances(self.firsts, asked)
        if not self.embedded.all():
            distances[~self.embedded] = len(embedding) // 2
        if len(self.more_of):
            np.minimum.at(distances, self.more_of, _distances(self.more, asked))
        return estimate(distances, len(embedding))


def _distances(codes: Words, asked: Words) -> Distances:
    """Return how many bits of each code differ from those of `asked`."""
    differing: Distances = np.bitwise_count(codes ^ asked).sum(axis=0, dtype=np.uint16)
    return differing


def _words(codes: npt.NDArray[np.uint8]) -> Words:
    """Return rows of bytes as columns of words of 64 bits, filled up with zeros."""
    if missing := -codes.shape[1] % _WORD_BYTES:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint64).T)
