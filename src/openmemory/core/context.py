"""A turn of a conversation is understood with its neighbours in the same session.

Nothing is stored for it: columns arrive in conversation order, and neighbours are read by shifting them.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.int64, np.float32)
Weights = tuple[float, ...]

NO_SESSION = 0

_FARTHEST = 3


@dataclass(frozen=True, slots=True)
class Context:
    """Which rows are neighbours: `same[k - 1][i]` says if rows i and i + k are of one session, k up to 3."""

    same: tuple[npt.NDArray[np.bool_], ...]

    @classmethod
    def of(cls, sessions: npt.NDArray[np.int64]) -> "Context":
        """Return the context of rows with these session keys: 0 is no session, rows of one are adjacent."""
        inside = sessions != NO_SESSION
        same = []
        for distance in range(1, min(_FARTHEST, len(sessions) - 1) + 1):
            pair = sessions[distance:] == sessions[:-distance]
            pair &= inside[distance:]
            if not pair.any():
                break
            same.append(pair)
        return cls(tuple(same))

    def added(
        self, values: npt.NDArray[Number], total: npt.NDArray[Number], previous: Weights, following: Weights
    ) -> npt.NDArray[Number]:
        """Add the neighbours' `values`, weighted by distance, to `total` and return it; the last axis is
        rows.

        `previous[0]` weighs the turn before, `following[0]` the turn after.
        """
        kind = values.dtype.type
        for distance, pair in enumerate(self.same, start=1):
            if distance <= len(previous):
                weight = pair * kind(previous[distance - 1])
                total[..., distance:] += values[..., :-distance] * weight
            if distance <= len(following):
                weight = pair * kind(following[distance - 1])
                total[..., :-distance] += values[..., distance:] * weight
        return total
