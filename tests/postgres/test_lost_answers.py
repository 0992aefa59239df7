"""A write whose answer was lost on the way is not done twice, and one on a connection that was dead before is done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import anyio.lowlevel
import pytest

from openmemory.adapters.embedders import Embedder
from openmemory.app import Logins
from openmemory.core.memory import Filters, Told
from openmemory.core.salience import REINFORCEMENT
from openmemory.core.scope import Scope
from openmemory.postgres.database import Database
from openmemory.postgres.direct import connected
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Names
from openmemory.service.memories import Memories
from tests.factories import a_scope
from tests.service.conftest import Rooms, rooms_on


class Wire:
    """Carries bytes between clients and PostgreSQL, and can be cut."""

    def __init__(self, host: str, port: str) -> None:
        self._host, self._port = host, port
        self._ends: list[asyncio.StreamWriter] = []
        self.loses_the_next_answer = False
        self.says_instead = b""

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
            target.write(self.says_instead or data)
            self.says_instead = b""
        target.close()


def goodbye(sqlstate: str, words: str) -> bytes:
    """Return what PostgreSQL or a pooler says as it ends a session."""
    text = b"".join(f"{one}\0".encode() for one in ("SFATAL", f"C{sqlstate}", f"M{words}")) + b"\0"
    return b"E" + (len(text) + 4).to_bytes(4, "big") + text


@pytest.fixture
async def wire(logins: Logins, tmp_path: Path) -> AsyncIterator[Wire]:
    """Yield what carries the bytes of connections to `tmp_path`."""
    carrier = Wire(logins.server["host"], logins.server["port"])
    async with await asyncio.start_unix_server(carrier.carry, str(tmp_path / ".s.PGSQL.5432")):
        yield carrier
        await carrier.cut()


@pytest.fixture
async def rooms(wire: Wire, logins: Logins, names: Names, embedder: Embedder, tmp_path: Path) -> AsyncIterator[Rooms]:
    """Yield services over the wire, on one connection."""
    conninfo = {**logins.server, "host": str(tmp_path), "port": "5432"}
    async with Database(conninfo, names, PoolLimits(most=1, connect_timeout_s=10)) as database:
        yield rooms_on(database, embedder, names)


@pytest.fixture
def memories(rooms: Rooms) -> Memories:
    """Return what can be done with memories over the wire."""
    return rooms.memories


@contextmanager
def held_up(logins: Logins, names: Names) -> Iterator[Callable[[], int]]:
    """Keep writes waiting in PostgreSQL inside the block; yield what ends the sessions that wait, and counts them."""
    table = names.table(names.memories)

    def end_the_waiting() -> int:
        ended = connection.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = current_database() AND l.relation = %s::regclass AND NOT l.granted",
            [table],
        )
        return ended.rowcount

    with connected(logins.owner) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield end_the_waiting


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


async def test_a_write_that_is_broken_off_with_two_goodbyes_is_done_over_another_connection(
    memories: Memories, wire: Wire
) -> None:
    scope = a_scope()
    await memories.add(scope, Told("the first", salience=0.5))
    wire.says_instead = goodbye("57P01", "terminating connection") + goodbye("08P01", "server conn crashed?")

    added = await memories.add(scope, Told("the second", salience=0.5))

    assert not added.deduplicated
    assert await _kept(memories, scope) == [("the first", 0.5), ("the second", 0.5)]


async def test_what_was_known_before_is_reinforced_once_though_the_answer_is_lost(rooms: Rooms, wire: Wire) -> None:
    scope = a_scope()
    before = await rooms.memories.add(scope, Told("the first", salience=0.1))
    rooms.clock.advance(hours=1, microseconds=1)
    faded = (await rooms.memories.get(scope, before.id)).salience_now(rooms.clock())
    wire.loses_the_next_answer = True

    again = await rooms.memories.add(scope, Told("the first"))

    assert (again.id, again.deduplicated) == (before.id, True)
    ((_, salience),) = await _kept(rooms.memories, scope)
    assert salience == pytest.approx(faded + REINFORCEMENT)


async def test_what_is_kept_under_its_own_id_is_known_though_the_session_was_ended_in_the_middle(
    rooms: Rooms, wire: Wire, logins: Logins, names: Names
) -> None:
    scope, own = a_scope(), Told("the first", id=uuid4(), salience=0.1)
    await rooms.memories.add(scope, own)
    rooms.clock.advance(hours=1, microseconds=1)

    with held_up(logins, names) as end_the_waiting:
        adding = asyncio.create_task(rooms.memories.add(scope, own))
        while not end_the_waiting():
            await anyio.lowlevel.checkpoint()
    again = await adding

    assert (again.id, again.deduplicated) == (own.id, True)
    ((_, salience),) = await _kept(rooms.memories, scope)
    assert salience > 0.1


async def test_of_a_batch_whose_answer_is_lost_each_memory_is_done_once(rooms: Rooms, wire: Wire) -> None:
    scope = a_scope()
    await rooms.memories.add(scope, Told("the first", salience=0.1))
    rooms.clock.advance(hours=1, microseconds=1)
    wire.loses_the_next_answer = True

    added = await rooms.memories.add_all(scope, [Told("the second", salience=0.1), Told("the first")])

    assert [one.deduplicated for one in added] == [False, True]
    (_, first), (_, second) = await _kept(rooms.memories, scope)
    assert second == 0.1
    assert 0.1 < first <= 0.1 + REINFORCEMENT


async def test_a_write_on_a_connection_that_was_cut_before_goes_over_another(memories: Memories, wire: Wire) -> None:
    scope = a_scope()
    await memories.add(scope, Told("the first", salience=0.5))
    await wire.cut()

    added = await memories.add(scope, Told("the second", salience=0.5))

    assert not added.deduplicated
    assert await _kept(memories, scope) == [("the first", 0.5), ("the second", 0.5)]
