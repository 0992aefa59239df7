"""All rows that a scope may see, without their texts, as columns for any question."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import Candidates, Integers, Surroundings
from openmemory.core.codes import Codes
from openmemory.core.memory import Embedding
from openmemory.core.postings import Postings
from openmemory.core.ranking import Rows

# The places of up to so many new rows are looked up one by one; for more, all rows are sorted again.
_LOOKED_UP = 256
# Taken by the objects around the columns, most of a small corpus: one without a row was measured at 3.2 KB.
_OBJECTS_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Turns:
    """Rows as columns, one entry each.

    `places`: the order of arrival, which also orders turns of one instant. `sessions`: 0 is no session.
    `lengths`: terms of the row, repeated ones included.
    """

    ids: npt.NDArray[np.void]
    places: Integers
    sessions: Integers
    occurred_at_us: Integers
    speakers: npt.NDArray[np.int32]
    marks: npt.NDArray[np.uint8]
    lengths: Integers

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_bytes(self) -> int:
        """How much memory the columns take."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    def only(self, rows: Rows) -> "Turns":
        """Return `rows`, in that order."""
        return Turns(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def with_more(self, other: "Turns", at: Rows) -> "Turns":
        """Return the rows of both, with each row of `other` put before the row that `at` names."""
        names = [field.name for field in fields(self)]
        return Turns(**{name: np.insert(getattr(self, name), at, getattr(other, name)) for name in names})


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows in any order, as they are read; a memory may have several.

    `codes`: the sign bits of the embedding, rows of bytes, which count where the row is `embedded`. `term_counts`: how
    many entries of `keys` and `frequencies` belong to the row.
    """

    turns: Turns
    codes: npt.NDArray[np.uint8]
    embedded: npt.NDArray[np.bool_]
    term_counts: Integers
    keys: npt.NDArray[np.int32]
    frequencies: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.turns)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Rows in conversation order, those of one session adjacent, one for each memory; make it by `of`."""

    turns: Turns
    codes: Codes
    postings: Postings
    occurred_at_s: Integers
    surroundings: Surroundings

    @classmethod
    def of(cls, columns: Columns) -> "Corpus":
        """Return the corpus of `columns`; if a memory has several rows, the one nearest to a question counts."""
        turns = columns.turns
        order = np.lexsort((~columns.embedded, turns.places, turns.occurred_at_us, turns.sessions))
        ids = turns.ids[order]
        firsts = np.concatenate((np.ones(min(1, len(ids)), np.bool_), ids[1:] != ids[:-1]))
        rows = order[firsts]
        codes = Codes.of(columns.codes[order], columns.embedded[order], firsts)
        postings = Postings.of(columns.term_counts, columns.keys, columns.frequencies, rows)
        return cls._made(turns.only(rows), codes, postings)

    @classmethod
    def _made(cls, turns: Turns, codes: Codes, postings: Postings) -> "Corpus":
        surroundings = Surroundings.of(turns.sessions, turns.lengths)
        return cls(turns, codes, postings, turns.occurred_at_us // 1_000_000, surroundings)

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def size_bytes(self) -> int:
        """How much memory the corpus takes."""
        own = self.turns.size_bytes + self.codes.size_bytes + self.occurred_at_s.nbytes
        return _OBJECTS_BYTES + own + self.postings.size_bytes + self.surroundings.size_bytes

    def with_more(self, other: "Corpus") -> "Corpus":
        """Return a corpus of the rows of both, which have no memory in common."""
        at = self._places_of(other.turns)
        turns, codes = self.turns.with_more(other.turns, at), self.codes.with_more(other.codes, at)
        return self._made(turns, codes, self.postings.with_more(other.postings, at))

    def candidates(self, terms: tuple[int, ...], embedding: Embedding | None) -> Candidates:
        """Return what the ranking needs to know of every row for these terms and this embedding."""
        frequencies, holders = self.postings.frequencies_of(terms)
        return Candidates(
            frequencies=frequencies,
            holders=holders,
            surroundings=self.surroundings,
            similarities=None if embedding is None else self.codes.similarities(embedding),
            speakers=self.turns.speakers,
            marks=self.turns.marks,
            occurred_at_s=self.occurred_at_s,
        )

    def _places_of(self, other: Turns) -> Rows:
        """Return before which row of this corpus each row of `other` belongs."""
        if len(other) > _LOOKED_UP:
            names = ("places", "occurred_at_us", "sessions")
            order = np.lexsort([np.concatenate((getattr(self.turns, name), getattr(other, name))) for name in names])
            return np.flatnonzero(order >= len(self)) - np.arange(len(other))
        return np.array([self._place_of(other, row) for row in range(len(other))], np.intp)

    def _place_of(self, other: Turns, row: int) -> int:
        first, last = 0, len(self)
        for own, theirs in (
            (self.turns.sessions, other.sessions),
            (self.turns.occurred_at_us, other.occurred_at_us),
            (self.turns.places, other.places),
        ):
            within = own[first:last]
            last = first + int(np.searchsorted(within, theirs[row], "right"))
            first += int(np.searchsorted(within, theirs[row]))
        return last
