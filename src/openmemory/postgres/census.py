"""Counting rows: those of a scope, those a tenant's transaction can see, and all there are."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import errors

from openmemory.postgres.asking import asked
from openmemory.postgres.database import TenantTx
from openmemory.postgres.direct import patient
from openmemory.postgres.statements import Names, statement


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes a tenant's texts take, and what search keeps beside them: vectors, codes and terms."""

    content_bytes: int
    search_bytes: int


@dataclass(frozen=True, slots=True)
class _Count:
    count: int


_VISIBLE = statement("census.visible", _Count)
_OF_SCOPE = statement("census.of_scope", _Count)
_SIZES = statement("census.sizes", Sizes)


async def visible(tx: TenantTx) -> int:
    """Return how many memories the transaction sees when it asks for all of them, of whatever tenant."""
    found = await tx.one(_VISIBLE)
    return found.count if found else 0


async def of_scope(tx: TenantTx) -> int:
    """Return how many memories the scope has."""
    found = await tx.one(_OF_SCOPE, user=tx.scope.user, project=tx.scope.project)
    return found.count if found else 0


async def sizes(tx: TenantTx) -> Sizes:
    """Return how much room the tenant's memories take."""
    return await tx.one(_SIZES) or Sizes(0, 0)


def in_all(conninfo: Mapping[str, str], names: Names) -> int | None:
    """Return how many memories all tenants have; None where the login may not look past row-level security."""
    with patient(conninfo) as connection, connection.transaction():
        connection.execute("SET LOCAL row_security = off")  # an error, then, instead of a count of the rows it may see
        try:
            (found,) = asked(connection, _VISIBLE, names.render(_VISIBLE.template).encode())
        except errors.InsufficientPrivilege:
            return None
        return found.count
