"""Long work in parts, between which it can be given up."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Value = TypeVar("Value")

_LARGE = 200_000  # characters of text: some 0.04 s of work


def in_parts(values: Sequence[Value], size: Callable[[Value], int]) -> Iterator[Sequence[Value]]:
    """Yield `values` in order, in parts that end where their sizes come to 200,000 or more; at least one part."""
    start = total = 0
    for place, value in enumerate(values, 1):
        total += size(value)
        if total >= _LARGE:
            yield values[start:place]
            start, total = place, 0
    if start < len(values) or not values:
        yield values[start:]
