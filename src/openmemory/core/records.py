"""Values that are made by the thousand in a second."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True)
def record(kind: type[Kind]) -> type[Kind]:
    """Return `kind` as a dataclass that type checkers hold frozen.

    Python itself does not: a frozen one of twenty fields takes eight times as long, and a question makes twenty.
    """
    return dataclass(slots=True)(kind)
