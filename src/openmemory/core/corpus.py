"""All rows that a scope may see, as columns that any question can be put to; what they say is not among them."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import TERMS_PER_LANE, Candidates, Floats, Integers, Surroundings
from openmemory.core.memory import Embedding
from openmemory.core.ranking import estimate

_WORD_BYTES = 8
_OF_TERMS = {"keys", "frequencies"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows in any order, one entry each; a memory may have several.

    `places`: the order of arrival, by which turns of one instant follow each other. `sessions`: 0 is no session.
    `lengths`: terms of the row, repeated ones included. `codes`: the sign bits of the embedding, rows of bytes;
    `embedded`: whether there is one. `term_counts`: how many entries of `keys` and `frequencies` belong to the row.
    """

    ids: npt.NDArray[np.void]
    places: Integers
    sessions: Integers
    occurred_at_us: Integers
    speakers: npt.NDArray[np.int32]
    marks: npt.NDArray[np.uint8]
    lengths: Integers
    codes: npt.NDArray[np.uint8]
    embedded: npt.NDArray[np.bool_]
    term_counts: Integers
    keys: npt.NDArray[np.int32]
    frequencies: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)

    def and_those_of(self, other: "Columns") -> "Columns":
        """Return the rows of both."""
        names = [field.name for field in fields(self)]
        return Columns(**{name: np.concatenate((getattr(self, name), getattr(other, name))) for name in names})

    def taken(self, rows: npt.NDArray[np.intp]) -> "Columns":
        """Return `rows`, in that order."""
        counts = self.term_counts[rows]
        starts = (np.cumsum(self.term_counts) - self.term_counts)[rows]
        terms = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        of_rows = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name not in _OF_TERMS}
        return Columns(**of_rows, keys=self.keys[terms], frequencies=self.frequencies[terms])

    @property
    def size_bytes(self) -> int:
        """How much memory the columns take."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rows in conversation order, those of one session adjacent, one for each memory; make it by `of`."""

    columns: Columns
    _code_words: npt.NDArray[np.uint64]
    _surroundings: Surroundings
    _occurred_at_s: Integers
    _postings: "_Postings"

    @classmethod
    def of(cls, columns: Columns) -> "Corpus":
        """Return the corpus of `columns`: of several rows of one memory the first counts."""
        order = np.lexsort((columns.places, columns.occurred_at_us, columns.sessions))
        ids = columns.ids[order]
        first = np.concatenate((np.ones(min(1, len(ids)), np.bool_), ids[1:] != ids[:-1]))
        ordered = columns.taken(order[first])
        return cls(
            ordered,
            _words(ordered.codes),
            Surroundings.of(ordered.sessions, ordered.lengths),
            ordered.occurred_at_us // 1_000_000,
            _Postings.of(ordered),
        )

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def ids(self) -> npt.NDArray[np.void]:
        """The memories' ids, 16 bytes each."""
        return self.columns.ids

    @property
    def size_bytes(self) -> int:
        """How much memory the corpus takes, near enough: what is made of the columns is a half more than they are."""
        return self.columns.size_bytes * 5 // 2

    def candidates(self, terms: tuple[int, ...], embedding: Embedding | None) -> Candidates:
        """Return what the ranking needs to know of every row for these terms and this direction."""
        lanes, holders = self._postings.lanes(terms)
        return Candidates(
            lanes=lanes,
            holders=holders,
            surroundings=self._surroundings,
            similarities=None if embedding is None else self._estimates(embedding),
            speakers=self.columns.speakers,
            marks=self.columns.marks,
            occurred_at_s=self._occurred_at_s,
        )

    def _estimates(self, embedding: Embedding) -> Floats:
        """Return similarities by sign bits; a row without an embedding is no nearer than chance."""
        asked = _words(np.packbits(embedding > 0)[np.newaxis])
        distances = np.bitwise_count(self._code_words ^ asked).sum(axis=0, dtype=np.int64)
        distances[~self.columns.embedded] = len(embedding) // 2
        return estimate(distances, len(embedding))


@dataclass(frozen=True, slots=True)
class _Postings:
    """Which rows have which term, ordered by the term's key."""

    keys: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    frequencies: npt.NDArray[np.uint8]
    count: int

    @classmethod
    def of(cls, columns: Columns) -> "_Postings":
        """Return the postings of rows."""
        order = np.argsort(columns.keys, kind="stable")
        rows = np.repeat(np.arange(len(columns), dtype=np.int32), columns.term_counts)
        return cls(columns.keys[order], rows[order], columns.frequencies[order], len(columns))

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


def _words(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return rows of bytes as columns of words of 64 bits, filled up with zeros."""
    if missing := -codes.shape[1] % _WORD_BYTES:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(codes.view(np.uint64).T)
