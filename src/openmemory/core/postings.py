"""Which rows of a corpus have which term: an inverted index."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import Integers
from openmemory.core.ranking import Rows


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term of each row its key, the row and the frequency, ordered by the key; `count` rows in all."""

    keys: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    frequencies: npt.NDArray[np.uint8]
    count: int

    @classmethod
    def of(
        cls, term_counts: Integers, keys: npt.NDArray[np.int32], frequencies: npt.NDArray[np.uint8], rows: Rows
    ) -> "Postings":
        """Return the postings of the rows numbered `rows`.

        `keys` and `frequencies` hold the terms of all rows one after the other; row i has `term_counts[i]` of them.
        """
        place = np.full(len(term_counts), -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        of_entry = np.repeat(place, term_counts)
        kept = np.flatnonzero(of_entry >= 0)
        order = kept[np.argsort(keys[kept], kind="stable")]
        return cls(keys[order], of_entry[order], frequencies[order], len(rows))

    @property
    def size_bytes(self) -> int:
        """How much memory the postings take."""
        return self.keys.nbytes + self.rows.nbytes + self.frequencies.nbytes

    def with_more(self, other: "Postings", at: Rows) -> "Postings":
        """Return the postings of both, with each row of `other` put before the row that `at` names."""
        own, theirs = np.arange(self.count), np.arange(other.count)
        moved = (own + np.searchsorted(at, own, "right")).astype(np.int32)
        put = (at + theirs).astype(np.int32)
        where = np.searchsorted(self.keys, other.keys)
        return Postings(
            np.insert(self.keys, where, other.keys),
            np.insert(moved[self.rows], where, put[other.rows]),
            np.insert(self.frequencies, where, other.frequencies),
            self.count + other.count,
        )

    def frequencies_of(self, terms: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], Integers]:
        """Return for each of `terms` a line with its frequency in each row, and how many rows have it."""
        asked = np.array(terms, np.int32)
        starts, ends = np.searchsorted(self.keys, asked), np.searchsorted(self.keys, asked, "right")
        found = np.zeros((len(terms), self.count), np.uint8)
        for line, start, end in zip(found, starts, ends, strict=True):
            line[self.rows[start:end]] = self.frequencies[start:end]
        return found, (ends - starts).astype(np.int64)
