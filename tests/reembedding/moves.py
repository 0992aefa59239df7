"""Filled databases to move to another model, and what their owner runs on them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from psycopg.conninfo import make_conninfo

from openmemory.adapters.embedders import Embedder, HashEmbedder
from openmemory.core.memory import Asked, Told
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from tests.cli.homes import Home, Ran
from tests.postgres.databases import Place
from tests.service.conftest import Rooms, rooms_on

Result = TypeVar("Result")

COUNTS = {"acme": 130, "brook": 40, "cedar": 1}
TOTAL = sum(COUNTS.values())
TO_HASH = {"OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "256"}
TO_STATIC = {"OM_EMBEDDINGS": "static"}
THINGS = ("lighthouse", "bakery", "harbour", "pear tree", "brass lamp", "ferry", "orchard", "workshop")


@dataclass(frozen=True)
class Filled:
    """A database with memories of several tenants, made with the hash embedder."""

    place: Place
    folder: Path

    def home(self, settings: Mapping[str, str], **more: str) -> Home:
        """Return the owner's settings, with an embedder."""
        own = {"OM_PG_DSN": make_conninfo("", **self.place.logins.owner), "OM_PG_APP_ROLE": self.place.names.app_role}
        return Home(self.folder / "unused", {**own, **settings, **more})

    def rows(self, table: str, columns: str, tenant: str | None = None) -> list[tuple[object, ...]]:
        """Return rows of a table in order, of one tenant or of all."""
        only = "" if tenant is None else f"WHERE tenant_id = '{tenant}'"
        with self.place.owner() as connection:
            return connection.execute(f"SELECT {columns} FROM {table} {only} ORDER BY 1, 2".encode()).fetchall()

    def value(self, query: str) -> object:
        """Return the one value of a query."""
        with self.place.owner() as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def run(self, *statements: str) -> None:
        """Run statements as the owner."""
        with self.place.owner() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def facts(self) -> dict[str, object]:
        """Return what is recorded about the vectors."""
        rows = self.rows("openmemory_meta", "name, value")
        return {str(name): value for name, value in rows if str(name).startswith("embedding_")}

    def is_begun(self) -> bool:
        """Return whether an unfinished run has left something."""
        return self.value("SELECT to_regnamespace('openmemory_reembed_public') IS NOT NULL") is True

    def found(self, embedder: Embedder, tenant: str, question: str, k: int = 3) -> list[str]:
        """Return what a tenant's question finds."""

        async def ask(rooms: Rooms) -> list[str]:
            matches = (await rooms.search.find(Scope(tenant), Asked(question, k=k))).matches
            return [match.memory.content for match in matches]

        return on_rooms(self.place, embedder, ask)


def words(ran: Ran) -> str:
    """Return what was said on either channel, without its line breaks."""
    return " ".join((ran.out + ran.err).split())


def told(tenant: str, count: int) -> list[Told]:
    """Return so many different things to tell for a tenant."""
    return [
        Told(
            f"{tenant} number {place}: the {THINGS[place % len(THINGS)]} is painted in week {place}",
            user_id=f"user-{place % 3}" if place % 4 else None,
            session_id=f"session-{place % 5}" if place % 2 else None,
            speaker=("Ada", "Ben", None)[place % 3],
        )
        for place in range(count)
    ]


def filled(place: Place, folder: Path, counts: Mapping[str, int]) -> Filled:
    """Return the migrated database of `place` with so many memories of each tenant."""
    place.migrate()

    async def fill(rooms: Rooms) -> None:
        for tenant, count in counts.items():
            await rooms.memories.add_all(Scope(tenant), told(tenant, count))

    on_rooms(place, HashEmbedder(place.names.dimension), fill)
    return Filled(place, folder)


def on_rooms(place: Place, embedder: Embedder, work: Callable[[Rooms], Awaitable[Result]]) -> Result:
    """Return what `work` returns with services over the database."""

    async def working() -> Result:
        names = replace(place.names, dimension=embedder.dimension or place.names.dimension)
        async with Database(place.logins.owner, names, behind_pooler=False) as database:
            return await work(rooms_on(database, embedder, names))

    return asyncio.run(working())
