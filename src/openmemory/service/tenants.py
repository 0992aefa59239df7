"""Which tenants there are, and whether one may work now."""

from collections import OrderedDict
from time import monotonic

from openmemory.core.scope import Scope
from openmemory.errors import TenantForbidden
from openmemory.postgres import registry
from openmemory.postgres.database import Database

_FRESH_S = 5.0
_KEPT = 100_000


class Tenants:
    """Admits tenants by the registry; an active one is believed for five seconds."""

    def __init__(self, database: Database, *, create_on_first_use: bool = True) -> None:
        self._database = database
        self._create = create_on_first_use
        self._admitted_s: OrderedDict[str, float] = OrderedDict()

    async def admit(self, tenant: str) -> Scope:
        """Return the scope of a proved tenant, written down on its first use; raises TenantForbidden."""
        if monotonic() - self._admitted_s.get(tenant, -_FRESH_S) >= _FRESH_S:
            await self._look_up(tenant)
            self._admitted_s[tenant] = monotonic()
            self._admitted_s.move_to_end(tenant)
            if len(self._admitted_s) > _KEPT:
                self._admitted_s.popitem(last=False)
        return Scope(tenant)

    async def ping(self) -> None:
        """Return when the database answers; raises DatabaseUnavailable."""
        async with self._database.registry() as tx:
            await registry.ping(tx)

    async def _look_up(self, tenant: str) -> None:
        async with self._database.registry() as tx:
            status = await registry.tenant_status(tx, tenant)
            if status is None and self._create:
                await registry.create_tenant(tx, tenant)
                return
        if status is None:
            raise TenantForbidden("the tenant is not known here; create it first (OM_AUTO_CREATE_TENANTS is off)")
        if status != "active":
            raise TenantForbidden(f"the tenant is {status}")
