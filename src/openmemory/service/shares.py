"""Limits on concurrent work: of one tenant, and of all tenants together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openmemory.errors import Overloaded, RateLimited

_RETRY_AFTER_S = 1


@dataclass(slots=True)
class _Places:
    free: asyncio.Semaphore
    users: int = 0


class Shares:
    """Lets each tenant do `at_once` things at a time; more wait for a while."""

    def __init__(
        self, at_once: int, wait_s: float, of: str = "requests at work already (OM_TENANT_CONCURRENCY)"
    ) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._of = of
        self._busy: dict[str, _Places] = {}

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold one of the tenant's places; raises RateLimited after waiting in vain."""
        places = self._busy.setdefault(tenant, _Places(asyncio.Semaphore(self._at_once)))
        places.users += 1
        try:
            if not await _acquired(places.free, self._wait_s):
                raise RateLimited(f"this tenant has {self._at_once} {self._of}; try again", _RETRY_AFTER_S)
            try:
                yield
            finally:
                places.free.release()
        finally:
            places.users -= 1
            if not places.users:
                del self._busy[tenant]


class SearchTurns:
    """Lets `at_once` searches run at a time, at most half of them one tenant's; more wait for a while."""

    def __init__(self, at_once: int, wait_s: float) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(at_once)
        self._shares = Shares(max(1, at_once // 2), wait_s, "searches running already, half of what this server runs")

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place; raises RateLimited if the tenant has its half, Overloaded if all are taken."""
        async with self._shares.turn(tenant):
            if not await _acquired(self._free, self._wait_s):
                raise Overloaded(f"all places for searches are taken ({self._at_once}); try again")
            try:
                yield
            finally:
                self._free.release()


async def _acquired(free: asyncio.Semaphore, wait_s: float) -> bool:
    """Take a place and return True, or False after waiting in vain."""
    if not free.locked():
        await free.acquire()
        return True
    try:
        async with asyncio.timeout(wait_s):
            return await free.acquire()
    except TimeoutError:
        return False
