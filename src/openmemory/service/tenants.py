"""Which tenants there are, and whether one may work now."""

import asyncio
from time import monotonic

from openmemory.core.lru import LruCache
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseUnavailable, TenantForbidden
from openmemory.postgres import registry
from openmemory.postgres.database import Database

_FRESH_S = 5.0
_PING_S = 2.0
_KEPT = 100_000


class Tenants:
    """Admits tenants by the registry; an active one is believed for five seconds."""

    def __init__(self, database: Database, *, create_on_first_use: bool = True) -> None:
        self._database = database
        self._create = create_on_first_use
        self._admitted_s: LruCache[str, float] = LruCache(_KEPT)
        self._asking: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()

    async def admit(self, tenant: str) -> Scope:
        """Return the scope of a proved tenant, written down on its first use; raises TenantForbidden."""
        admitted_s = self._admitted_s.get(tenant)
        if admitted_s is None or monotonic() - admitted_s >= _FRESH_S:
            await self._look_up(tenant)
            self._admitted_s.put(tenant, monotonic())
        return Scope(tenant)

    async def is_known(self, tenant: str) -> bool:
        """Return whether a tenant was ever admitted, or moved here; for the owner of the process, not for callers."""
        async with self._database.registry() as tx:
            return await registry.tenant_status(tx, tenant) is not None

    async def ping(self) -> None:
        """Return when the database answers; concurrent callers share one question. Raises DatabaseUnavailable."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._database.ping())
            self._asked.add(self._asking)
            self._asking.add_done_callback(self._forget)
        asking = self._asking
        await asyncio.wait({asking}, timeout=_PING_S)
        if asking.done() and not asking.cancelled():
            asking.result()
            return
        # Not awaited: if PostgreSQL hangs, the driver's own way to cancel hangs for ten seconds more.
        asking.cancel()
        if self._asking is asking:
            self._asking = None
        raise DatabaseUnavailable(f"PostgreSQL has not answered for {_PING_S:g} s")

    def _forget(self, asked: asyncio.Task[None]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # seen, so that asyncio does not report it

    async def _look_up(self, tenant: str) -> None:
        async with self._database.registry() as tx:
            status = await registry.tenant_status(tx, tenant)
            if status is None and self._create:
                await registry.create_tenant(tx, tenant)
                return
        if status is None:
            raise TenantForbidden(
                "the tenant is not known here, and OM_AUTO_CREATE_TENANTS is off: the operator has to add it to"
                " openmemory_tenants"
            )
        if status != "active":
            raise TenantForbidden(f"the tenant is {status}")
