"""What the ranking sees of a corpus for one question: every row, column by column."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from openmemory.core.context import OWN_TENTHS, Context

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_K1 = 0.9
_B = 0.4


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the ranking knows of the rows before a question is asked.

    `norms`: what BM25 adds to a frequency, k1 * (1 - b + b * dl / mean dl), in tenths like frequencies.
    `own_weights`: the share of a row's own similarity in its dense score; the rest is its neighbours'.
    """

    context: Context
    norms: Floats
    own_weights: Floats

    @classmethod
    def of(cls, sessions: Integers, lengths: Integers) -> "Surroundings":
        """Return the surroundings of rows in conversation order; `lengths` are their own terms alone."""
        context = Context.of(sessions)
        tenths = context.in_tenths(lengths).astype(np.float32)
        mean = max(float(tenths.mean()), 1.0) if len(tenths) else 1.0
        norms = tenths * np.float32(OWN_TENTHS * _K1 * _B / mean) + np.float32(OWN_TENTHS * _K1 * (1 - _B))
        ones = np.ones(len(sessions), np.float32)
        return cls(context, norms, ones / (ones + context.near(ones)))

    @property
    def size_bytes(self) -> int:
        """How much memory they take."""
        return self.context.size_bytes + self.norms.nbytes + self.own_weights.nbytes


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every row a question may see, as columns of one length, in conversation order.

    `frequencies`: for each term of the question a line with its frequency in each row, 0 to 7. `holders`: how many rows
    have each term. `similarities`: to the question's embedding, estimated or exact; None if it has none. `speakers`:
    `text.speaker_key`, 0 is nobody. `marks`: `text.marks`.
    """

    frequencies: npt.NDArray[np.uint8]
    holders: Integers
    surroundings: Surroundings
    similarities: Floats | None
    speakers: npt.NDArray[np.int32]
    marks: npt.NDArray[np.uint8]
    occurred_at_s: Integers

    def __len__(self) -> int:
        return len(self.speakers)
