"""Counts: of a scope, and of the rows that a tenant's transaction sees."""

from openmemory.core.scope import Scope
from openmemory.postgres import census
from openmemory.postgres.census import Sizes
from openmemory.postgres.database import Database


class Census:
    """Counts for the owner of the process; no call of the server needs them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visible_rows(self, scope: Scope) -> int:
        """Return how many memories PostgreSQL shows a transaction of `scope` that asks without any condition.

        So the number is row-level security's own answer.
        """
        async with self._database.tenant(scope) as tx:
            return await census.visible(tx)

    async def count(self, scope: Scope) -> int:
        """Return how many memories the scope has."""
        async with self._database.tenant(scope) as tx:
            return await census.of_scope(tx)

    async def sizes(self, scope: Scope) -> Sizes:
        """Return how much room the tenant's memories take."""
        async with self._database.tenant(scope) as tx:
            return await census.sizes(tx)
