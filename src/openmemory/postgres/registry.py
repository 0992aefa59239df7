"""What belongs to the operator: the tenants there are, and facts about the database itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from openmemory.postgres.asking import asked
from openmemory.postgres.database import RegistryTx
from openmemory.postgres.direct import connected, permitted
from openmemory.postgres.statements import Names, statement


@dataclass(frozen=True, slots=True)
class _Status:
    status: str


@dataclass(frozen=True, slots=True)
class _Tenant:
    name: str


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    value: str


_TENANT_STATUS = statement("registry.tenant_status", _Status)
_CREATE_TENANT = statement("registry.create_tenant", type(None))
_TENANTS_AFTER = statement("registry.tenants_after", _Tenant)
_META = statement("registry.meta", _Fact)
_RECORD_META = statement("registry.record_meta", type(None))


async def tenant_status(tx: RegistryTx, name: str) -> str | None:
    """Return a tenant's status, or None if it was never seen."""
    row = await tx.one(_TENANT_STATUS, name=name)
    return row.status if row else None


async def create_tenant(tx: RegistryTx, name: str) -> None:
    """Write a tenant down as active, unless it is there."""
    await tx.run(_CREATE_TENANT, name=name)


async def tenants_after(tx: RegistryTx, after: str, most: int) -> list[str]:
    """Return the names of at most `most` tenants, those after `after` in their order; "" comes before all."""
    return [row.name for row in await tx.all(_TENANTS_AFTER, after=after, most=most)]


def facts(conninfo: Mapping[str, str], names: Names) -> dict[str, str]:
    """Return what is recorded about the database, such as its embedding model."""
    with connected(conninfo) as connection, permitted():
        return {fact.name: fact.value for fact in asked(connection, _META, names.render(_META.template).encode())}


def record_facts(conninfo: Mapping[str, str], names: Names, new: Mapping[str, str]) -> None:
    """Record facts that are not recorded yet; what is there stays."""
    with connected(conninfo) as connection:
        for name, value in new.items():
            connection.execute(names.render_with_params(_RECORD_META.template), {"name": name, "value": value})
