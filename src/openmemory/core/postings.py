"""Which rows of a corpus have which term: an inverted index."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import TERMS_PER_LANE, Integers
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

    def lanes(self, terms: tuple[int, ...]) -> tuple[tuple[Integers, ...], Integers]:
        """Return the rows' frequencies of `terms`, eight to a lane, and how many rows have each term."""
        asked = np.array(terms, np.int32)
        starts, ends = np.searchsorted(self.keys, asked), np.searchsorted(self.keys, asked, "right")
        lanes = []
        for first in range(0, len(terms), TERMS_PER_LANE):
            lane = np.zeros(self.count, np.int64)
            for place, term in enumerate(range(first, min(first + TERMS_PER_LANE, len(terms)))):
                having = slice(starts[term], ends[term])
                lane[self.rows[having]] |= self.frequencies[having].astype(np.int64) << (8 * place)
            lanes.append(lane)
        return tuple(lanes), (ends - starts).astype(np.int64)
