"""The context of a turn of a conversation: its neighbours in the same session.

No context is stored: columns are in conversation order, and neighbours are read by shifting them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Whole = TypeVar("Whole", np.uint8, np.int64)
Weight = TypeVar("Weight", np.uint8, np.float32)

NO_SESSION = 0
OWN_TENTHS = 10
"""Lexical context is in tenths, so that it stays whole: 25 tenths times a frequency of 7 fits a byte."""

_LEXICAL_PREVIOUS = (5, 3, 2)
_LEXICAL_FOLLOWING = (3, 2)
_DENSE_PREVIOUS = (0.3, 0.2)
_DENSE_FOLLOWING = (0.2,)
_FARTHEST = 3


@dataclass(frozen=True, slots=True)
class Context:
    """For each distance, the weights with which rows take the value of the row that far before or after them.

    `lexical` and `dense` hold pairs of a distance, negative for the row after, and the weights of the rows that have
    such a neighbour, 0 for those that have none.
    """

    lexical: tuple[tuple[int, npt.NDArray[np.uint8]], ...]
    dense: tuple[tuple[int, npt.NDArray[np.float32]], ...]

    @classmethod
    def of(cls, sessions: npt.NDArray[np.int64]) -> "Context":
        """Return the context of rows with these session keys; 0 is no session, and rows of one session are adjacent."""
        pairs = list(_pairs(sessions))
        return cls(
            lexical=tuple(_weighed(pairs, _LEXICAL_PREVIOUS, _LEXICAL_FOLLOWING, np.uint8)),
            dense=tuple(_weighed(pairs, _DENSE_PREVIOUS, _DENSE_FOLLOWING, np.float32)),
        )

    @property
    def size_bytes(self) -> int:
        """How much memory the weights take."""
        return sum(weights.nbytes for _, weights in self.lexical) + sum(weights.nbytes for _, weights in self.dense)

    def in_tenths(self, values: npt.NDArray[Whole]) -> npt.NDArray[Whole]:
        """Return ten times `values` with the neighbours' share added; the last axis is rows."""
        total = values * values.dtype.type(OWN_TENTHS)
        _add(self.lexical, values, total)
        return total

    def near(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what the neighbours of each row contribute to its dense score, its own value left out."""
        total = np.zeros_like(values)
        _add(self.dense, values, total)
        return total


def _pairs(sessions: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield for each distance which rows i and i + distance are of one session."""
    inside = sessions != NO_SESSION
    for distance in range(1, min(_FARTHEST, len(sessions) - 1) + 1):
        pair = sessions[distance:] == sessions[:-distance]
        pair &= inside[distance:]
        if not pair.any():
            return
        yield pair


def _weighed(
    pairs: list[npt.NDArray[np.bool_]], previous: tuple[float, ...], following: tuple[float, ...], kind: type[Weight]
) -> Iterator[tuple[int, npt.NDArray[Weight]]]:
    """Yield the weights by distance; `previous[0]` is that of the turn before, `following[0]` of the turn after."""
    for place, pair in enumerate(pairs):
        if place < len(previous):
            yield place + 1, pair * kind(previous[place])
        if place < len(following):
            yield -place - 1, pair * kind(following[place])


def _add(
    weights: tuple[tuple[int, npt.NDArray[Weight]], ...], values: npt.NDArray[Any], total: npt.NDArray[Any]
) -> None:
    """Add to `total` each row's neighbours' `values`, weighed."""
    for distance, weight in weights:
        if distance > 0:
            total[..., distance:] += values[..., :-distance] * weight
        else:
            total[..., :distance] += values[..., -distance:] * weight
