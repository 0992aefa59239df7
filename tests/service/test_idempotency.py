"""A write and the answer written down for its key are one transaction: after a crash both are there, or neither."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pytest

from openmemory.core.memory import Change, Filters, JsonValue, Memory, Told
from openmemory.core.scope import Scope
from openmemory.errors import DatabaseUnavailable, IdempotencyConflict
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Statement
from openmemory.service.idempotency import Idempotency, Outcome
from openmemory.service.memories import Memories
from openmemory.service.tenants import Tenants
from tests.factories import a_scope
from tests.service.conftest import HandClock, Rooms

Seal = Callable[[TenantTx, object], Awaitable[None]]
Write = Callable[[Memories, Scope, UUID, Seal], Awaitable[object]]

WRITES: dict[str, Write] = {
    "add": lambda memories, scope, _, seal: memories.add(scope, Told("New"), seal),
    "add what is known": lambda memories, scope, _, seal: memories.add(scope, Told("Old", user_id="ada"), seal),
    "batch": lambda memories, scope, _, seal: memories.add_all(scope, [Told("New"), Told("Newer")], seal),
    "new content": lambda memories, scope, one, seal: memories.change(scope, one, Change("Changed"), seal=seal),
    "new tags": lambda memories, scope, one, seal: memories.change(scope, one, Change(tags=("new",)), seal=seal),
    "reinforce": lambda memories, scope, one, seal: memories.reinforce(scope, one, 0.1, seal),
    "delete": lambda memories, scope, one, seal: memories.delete(scope, one, seal),
    "forget user": lambda memories, scope, _, seal: memories.delete_user(scope, "ada", seal),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
def idempotency(database: Database, clock: HandClock) -> Idempotency:
    return Idempotency(database, clock)


@pytest.fixture
async def old(memories: Memories, scope: Scope) -> UUID:
    return (await memories.add(scope, Told("Old", user_id="ada", salience=0.5))).id


@dataclass(frozen=True)
class _Said:
    at: datetime


_SAID = Statement("idempotency.said", "SELECT created_at AS at FROM {idempotency}", _Said, rows_of(_Said))


class _DiesError(Exception):
    """Stands for a process that ends here."""


async def _all(rooms: Rooms, scope: Scope) -> list[Memory]:
    return (await rooms.memories.listing(scope, limit=100, filters=Filters())).items


@every_write
async def test_what_ends_before_its_answer_is_written_down_changed_nothing(
    rooms: Rooms, scope: Scope, idempotency: Idempotency, old: UUID, write: Write
) -> None:
    before = await _all(rooms, scope)

    def die(_: object) -> JsonValue:
        raise _DiesError

    with pytest.raises(_DiesError):
        await idempotency.once(scope, "c", "k", b"d", lambda seal: write(rooms.memories, scope, old, seal), die)

    assert await _all(rooms, scope) == before


@every_write
async def test_what_was_kept_is_answered_though_its_process_ended_at_once(
    rooms: Rooms, scope: Scope, idempotency: Idempotency, old: UUID, write: Write
) -> None:
    async def write_and_die(seal: Seal) -> object:
        await write(rooms.memories, scope, old, seal)
        raise _DiesError

    with pytest.raises(_DiesError):
        await idempotency.once(scope, "c", "k", b"d", write_and_die, lambda _: "done")
    after = await _all(rooms, scope)

    again = await idempotency.once(scope, "c", "k", b"d", lambda seal: write(rooms.memories, scope, old, seal), str)

    assert again == Outcome("done", replayed=True)
    assert await _all(rooms, scope) == after


async def _nothing(_: Seal) -> None:
    return None


async def test_a_key_left_by_a_process_that_died_is_free_soon(
    scope: Scope, idempotency: Idempotency, clock: HandClock
) -> None:
    async def leave(_: Seal) -> None:
        clock.advance(seconds=19)
        with pytest.raises(IdempotencyConflict, match="still running"):
            await idempotency.once(scope, "c", "k", b"d", _nothing, lambda _: "second")
        clock.advance(seconds=2)
        assert not (await idempotency.once(scope, "c", "k", b"d", _nothing, lambda _: "third")).replayed

    with pytest.raises(IdempotencyConflict, match="took over"):
        await idempotency.once(scope, "c", "k", b"d", leave, lambda _: "first")

    again = await idempotency.once(scope, "c", "k", b"d", _nothing, lambda _: "fourth")
    assert again == Outcome("third", replayed=True)


@every_write
async def test_a_write_whose_key_was_taken_over_undoes_itself(
    rooms: Rooms, scope: Scope, idempotency: Idempotency, old: UUID, write: Write
) -> None:
    before = await _all(rooms, scope)

    async def slow(seal: Seal) -> object:
        rooms.clock.advance(seconds=21)
        await idempotency.once(scope, "c", "k", b"d", _nothing, lambda _: "second")
        return await write(rooms.memories, scope, old, seal)

    with pytest.raises(IdempotencyConflict, match="took over"):
        await idempotency.once(scope, "c", "k", b"d", slow, lambda _: "first")

    assert await _all(rooms, scope) == before


async def test_a_write_that_takes_long_keeps_its_key(database: Database, scope: Scope, clock: HandClock) -> None:
    idempotency = Idempotency(database, clock, heartbeat_s=0)

    async def slow(_: Seal) -> None:
        for _turn in range(3):
            clock.advance(seconds=19)
            async with asyncio.timeout(30):
                await _until_said(database, scope, clock.now)
            with pytest.raises(IdempotencyConflict, match="still running"):
                await idempotency.once(scope, "c", "k", b"d", _nothing, lambda _: "second")

    assert await idempotency.once(scope, "c", "k", b"d", slow, lambda _: "first") == Outcome("first", replayed=False)


async def _until_said(database: Database, scope: Scope, at: datetime) -> None:
    said: _Said | None = None
    while said is None or said.at != at:
        async with database.tenant(scope) as tx:
            said = await tx.one(_SAID)


async def test_a_write_that_fails_while_the_database_is_away_says_why_it_failed(
    database: Database, scope: Scope, idempotency: Idempotency, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Seal) -> None:
        monkeypatch.setattr(database, "tenant", _away)
        raise _DiesError

    with pytest.raises(_DiesError):
        await idempotency.once(scope, "c", "k", b"d", broken, str)


@asynccontextmanager
async def _away(_: Scope) -> AsyncIterator[TenantTx]:
    raise DatabaseUnavailable("away")
    yield


async def test_keys_of_yesterday_go_a_few_at_a_time(
    database: Database, scope: Scope, idempotency: Idempotency, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmemory.postgres.idempotency._EXPIRED_AT_ONCE", 2)
    for key in "abc":
        await idempotency.once(scope, "c", key, b"d", _nothing, lambda _: "first")
    clock.advance(days=1, seconds=1)

    left = []
    for key in "defa":
        await idempotency.once(scope, "c", key, b"d", _nothing, lambda _: "first")
        async with database.tenant(scope) as tx:
            left.append(len(await tx.all(_SAID)))

    assert left == [2, 2, 3, 4]


async def test_keys_of_tenants_that_are_silent_since_are_forgotten(
    database: Database, idempotency: Idempotency, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmemory.postgres.idempotency._EXPIRED_AT_ONCE", 2)
    monkeypatch.setattr("openmemory.service.idempotency._TENANTS_AT_ONCE", 3)
    scopes = [a_scope() for _ in range(7)]
    for scope in scopes:
        await Tenants(database).admit(scope.tenant)
        for key in "abc":
            await idempotency.once(scope, "c", key, b"d", _nothing, lambda _: "first")
    clock.advance(days=1, seconds=1)
    await idempotency.once(scopes[0], "c", "new", b"d", _nothing, lambda _: "first")

    await idempotency.forget_expired()

    left = []
    for scope in scopes:
        async with database.tenant(scope) as tx:
            left.append(len(await tx.all(_SAID)))
    assert left == [1, *[0] * 6]
