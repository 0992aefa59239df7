"""A write whose answer was lost on the way is not done twice, and one on a connection that was dead before is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from openmemory.adapters.embedders import Embedder
from openmemory.app import Logins
from openmemory.core.memory import Filters, Told
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Names
from openmemory.service.memories import Memories
from tests.factories import a_scope
from tests.service.conftest import rooms_on


class Wire:
    """Carries bytes between clients and PostgreSQL, and can be cut."""

    def __init__(self, host: str, port: str) -> None:
        self._host, self._port = host, port
        self._ends: list[asyncio.StreamWriter] = []
        self.loses_the_next_answer = False

    async def cut(self) -> None:
        """End every connection without a word."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.close()
        for end in ends:
            with suppress(ConnectionError):
                await end.wait_closed()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side leaves."""
        from_server, to_server = await self._connected()
        self._ends += [writer, to_server]
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, to_server), self._answer(from_server, writer))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, int(self._port))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    async def _answer(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if self.loses_the_next_answer:
                self.loses_the_next_answer = False
                await self.cut()
                return
            target.write(data)
        target.close()


@pytest.fixture
async def wire(logins: Logins, tmp_path: Path) -> AsyncIterator[Wire]:
    """Yield what carries the bytes of connections to `tmp_path`."""
    carrier = Wire(logins.server["host"], logins.server["port"])
    async with await asyncio.start_unix_server(carrier.carry, str(tmp_path / ".s.PGSQL.5432")):
        yield carrier
        await carrier.cut()


@pytest.fixture
async def memories(
    wire: Wire, logins: Logins, names: Names, embedder: Embedder, tmp_path: Path
) -> AsyncIterator[Memories]:
    """Yield what can be done with memories over the wire, on one connection."""
    conninfo = {**logins.server, "host": str(tmp_path), "port": "5432"}
    async with Database(conninfo, names, PoolLimits(most=1, connect_timeout_s=10)) as database:
        yield rooms_on(database, embedder, names).memories


async def _kept(memories: Memories, scope: Scope) -> list[tuple[str, float]]:
    items = (await memories.listing(scope, limit=10, filters=Filters())).items
    return sorted((one.content, one.salience) for one in items)


async def test_a_write_whose_answer_is_lost_is_done_once(memories: Memories, wire: Wire) -> None:
    scope = a_scope()
    await memories.add(scope, Told("the first", salience=0.5))
    wire.loses_the_next_answer = True

    added = await memories.add(scope, Told("the second", salience=0.5))

    assert not added.deduplicated
    assert (await memories.get(scope, added.id)).content == "the second"
    assert await _kept(memories, scope) == [("the first", 0.5), ("the second", 0.5)]


async def test_what_was_known_before_is_reinforced_though_the_answer_is_lost(memories: Memories, wire: Wire) -> None:
    scope = a_scope()
    before = await memories.add(scope, Told("the first", salience=0.5))
    wire.loses_the_next_answer = True

    again = await memories.add(scope, Told("the first"))

    assert (again.id, again.deduplicated) == (before.id, True)


async def test_a_write_on_a_connection_that_was_cut_before_goes_over_another(memories: Memories, wire: Wire) -> None:
    scope = a_scope()
    await memories.add(scope, Told("the first", salience=0.5))
    await wire.cut()

    added = await memories.add(scope, Told("the second", salience=0.5))

    assert not added.deduplicated
    assert await _kept(memories, scope) == [("the first", 0.5), ("the second", 0.5)]
