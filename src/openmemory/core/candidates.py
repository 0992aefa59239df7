"""What the ranking sees of a corpus: every row, column by column."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

TERMS_PER_COLUMN = 8
"""How many base-8 digits, one a term of the question, a packed number holds."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every row a question may see, as columns of one length, in conversation order.

    `packed`: for each eight terms of the question a column whose base-8 digit i is the row's frequency of
    term i. `lengths`: terms of the row. `sessions`: 0 is no session. `similarities`: to the question's
    embedding, estimated or exact; None if it has none. `speakers`: `text.speaker_key`, 0 is nobody. `marks`:
    `text.marks`.
    """

    packed: tuple[Integers, ...]
    lengths: Integers
    sessions: Integers
    similarities: Floats | None
    speakers: npt.NDArray[np.int32]
    marks: npt.NDArray[np.uint8]
    occurred_at_s: Integers

    def __len__(self) -> int:
        return len(self.lengths)

    def only(self, kept: npt.NDArray[np.bool_]) -> "Candidates":
        """Return the rows that are `kept`."""
        return Candidates(
            tuple(column[kept] for column in self.packed),
            self.lengths[kept],
            self.sessions[kept],
            None if self.similarities is None else self.similarities[kept],
            self.speakers[kept],
            self.marks[kept],
            self.occurred_at_s[kept],
        )
