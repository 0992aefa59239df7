"""All rows that a scope may see, as columns that any question can be put to; what they say is not among them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import Candidates, Floats, Integers, Surroundings
from openmemory.core.memory import Embedding
from openmemory.core.postings import Postings
from openmemory.core.ranking import Rows, estimate

Words = npt.NDArray[np.uint64]

_WORD_BYTES = 8
# Of so many rows the places are looked up one by one; those of more are found by sorting all rows anew.
_LOOKED_UP = 256


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


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rows in conversation order, those of one session adjacent, one for each memory; make it by `of`.

    `codes`: the sign bits of the embeddings as words of 64 bits, a row of the array for each word.
    """

    ids: npt.NDArray[np.void]
    places: Integers
    sessions: Integers
    occurred_at_us: Integers
    speakers: npt.NDArray[np.int32]
    marks: npt.NDArray[np.uint8]
    lengths: Integers
    embedded: npt.NDArray[np.bool_]
    codes: Words
    occurred_at_s: Integers
    postings: Postings
    surroundings: Surroundings

    @classmethod
    def of(cls, columns: Columns) -> "Corpus":
        """Return the corpus of `columns`: of several rows of one memory the first counts."""
        order = np.lexsort((columns.places, columns.occurred_at_us, columns.sessions))
        ids = columns.ids[order]
        first = np.concatenate((np.ones(min(1, len(ids)), np.bool_), ids[1:] != ids[:-1]))
        rows = order[first]
        sessions, lengths = columns.sessions[rows], columns.lengths[rows]
        occurred_at_us = columns.occurred_at_us[rows]
        return cls(
            ids=columns.ids[rows],
            places=columns.places[rows],
            sessions=sessions,
            occurred_at_us=occurred_at_us,
            speakers=columns.speakers[rows],
            marks=columns.marks[rows],
            lengths=lengths,
            embedded=columns.embedded[rows],
            codes=_words(columns.codes[rows]),
            occurred_at_s=occurred_at_us // 1_000_000,
            postings=Postings.of(columns.term_counts, columns.keys, columns.frequencies, rows),
            surroundings=Surroundings.of(sessions, lengths),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """How much memory the corpus takes."""
        moments = self.occurred_at_us.nbytes + self.occurred_at_s.nbytes
        by_row = (self.ids, self.places, self.sessions, self.speakers, self.marks, self.lengths, self.embedded)
        own = moments + self.codes.nbytes + sum(column.nbytes for column in by_row)
        return own + self.postings.size_bytes + self.surroundings.size_bytes

    def with_more(self, other: "Corpus") -> "Corpus":
        """Return a corpus of the rows of both, which have no memory in common."""
        at = self._places_of(other)
        sessions, lengths = np.insert(self.sessions, at, other.sessions), np.insert(self.lengths, at, other.lengths)
        return Corpus(
            ids=np.insert(self.ids, at, other.ids),
            places=np.insert(self.places, at, other.places),
            sessions=sessions,
            occurred_at_us=np.insert(self.occurred_at_us, at, other.occurred_at_us),
            speakers=np.insert(self.speakers, at, other.speakers),
            marks=np.insert(self.marks, at, other.marks),
            lengths=lengths,
            embedded=np.insert(self.embedded, at, other.embedded),
            codes=np.insert(self.codes, at, other.codes, axis=1),
            occurred_at_s=np.insert(self.occurred_at_s, at, other.occurred_at_s),
            postings=self.postings.with_more(other.postings, at),
            surroundings=Surroundings.of(sessions, lengths),
        )

    def candidates(self, terms: tuple[int, ...], embedding: Embedding | None) -> Candidates:
        """Return what the ranking needs to know of every row for these terms and this direction."""
        lanes, holders = self.postings.lanes(terms)
        return Candidates(
            lanes=lanes,
            holders=holders,
            surroundings=self.surroundings,
            similarities=None if embedding is None else self._estimates(embedding),
            speakers=self.speakers,
            marks=self.marks,
            occurred_at_s=self.occurred_at_s,
        )

    def _estimates(self, embedding: Embedding) -> Floats:
        """Return similarities by sign bits; a row without an embedding is no nearer than chance."""
        asked = _words(np.packbits(embedding > 0)[np.newaxis])
        distances = np.bitwise_count(self.codes ^ asked).sum(axis=0, dtype=np.int64)
        distances[~self.embedded] = len(embedding) // 2
        return estimate(distances, len(embedding))

    def _places_of(self, other: "Corpus") -> Rows:
        """Return before which row of this corpus each row of `other` belongs."""
        if len(other) > _LOOKED_UP:
            names = ("places", "occurred_at_us", "sessions")
            order = np.lexsort([np.concatenate((getattr(self, name), getattr(other, name))) for name in names])
            return np.flatnonzero(order >= len(self)) - np.arange(len(other))
        places = [self._place_of(other, row) for row in range(len(other))]
        return np.array(places, np.intp)

    def _place_of(self, other: "Corpus", row: int) -> int:
        first, last = 0, len(self)
        for own, theirs in (
            (self.sessions, other.sessions),
            (self.occurred_at_us, other.occurred_at_us),
            (self.places, other.places),
        ):
            within = own[first:last]
            last = first + int(np.searchsorted(within, theirs[row], "right"))
            first += int(np.searchsorted(within, theirs[row]))
        return last


def _words(codes: npt.NDArray[np.uint8]) -> Words:
    """Return rows of bytes as columns of words of 64 bits, filled up with zeros."""
    if missing := -codes.shape[1] % _WORD_BYTES:
        codes = np.pad(codes, ((0, 0), (0, missing)))
    return np.ascontiguousarray(np.ascontiguousarray(codes).view(np.uint64).T)
