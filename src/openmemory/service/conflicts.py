"""Transactions that waited for each other: who lost tries again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from openmemory.errors import DatabaseConflict

# The one that goes on is mostly done by then; where it is not, both would meet again.
_TRIES, _PAUSE_S = 5, 0.05

Result = TypeVar("Result")


async def tried_again(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Return what `attempt` returns, a whole transaction; raises DatabaseConflict where it lost five times."""
    for tried in range(1, _TRIES):
        try:
            return await attempt()
        except DatabaseConflict:
            await asyncio.sleep(random.uniform(0.5, 1.5) * _PAUSE_S * tried)  # noqa: S311 -- no secret
    return await attempt()
