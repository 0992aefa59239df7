"""Run a transaction again if it lost a conflict with another one."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from openmemory.errors import DatabaseConflict

# After the pause the winner is mostly done; if it is not, both may meet again.
_TRIES, _PAUSE_S = 5, 0.05

Result = TypeVar("Result")


async def tried_again(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Return the result of `attempt`, a whole transaction; raises DatabaseConflict if it loses five times."""
    for tried in range(1, _TRIES):
        try:
            return await attempt()
        except DatabaseConflict:
            await asyncio.sleep(random.uniform(0.5, 1.5) * _PAUSE_S * tried)  # noqa: S311 -- no secret
    return await attempt()
