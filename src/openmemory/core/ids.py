"""Ids that sort by the time they were made."""

import secrets
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from struct import Struct
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_COUNTER_BITS = 12
_DRAW = Struct("32Q")


def new_ids(now: datetime) -> Iterator[UUID]:
    """Yield UUIDs of version 7 (RFC 9562) for the instant `now`, in ascending order.

    The 12 bits after the millisecond count up from a random start in their lower half and carry into the
    millisecond, so that a batch keeps its order in the index.
    """
    start = (int(now.timestamp() * 1000) << _COUNTER_BITS) | secrets.randbits(_COUNTER_BITS - 1)
    for value, random in zip(count(start), _random_bits()):
        milliseconds, counter = value >> _COUNTER_BITS, value & ((1 << _COUNTER_BITS) - 1)
        yield UUID(int=milliseconds << 80 | _VERSION_7 | counter << 64 | _VARIANT | random)


def _random_bits() -> Iterator[int]:
    """Yield random numbers of 62 bits, drawn together: each draw is a call of the system."""
    while True:
        for number in _DRAW.unpack(secrets.token_bytes(_DRAW.size)):
            yield number >> 2
