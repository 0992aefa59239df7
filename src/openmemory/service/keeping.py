"""Store new memories: all or none, or each that can be stored."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from openmemory.core import salience
from openmemory.core.memory import NewMemory
from openmemory.core.records import record
from openmemory.core.scope import Scope
from openmemory.errors import MemoryExists, OpenMemoryError, Unprocessable
from openmemory.postgres import memories
from openmemory.postgres.database import Database
from openmemory.postgres.memories import Duplicate
from openmemory.service.conflicts import tried_again
from openmemory.service.idempotency import Seal


@record
class Added:
    """The outcome of an add; `deduplicated`: the memory was known already, under this id."""

    id: UUID
    primary_sector: str
    sectors: int
    deduplicated: bool


async def keep_all(
    database: Database,
    scope: Scope,
    new: Sequence[NewMemory],
    now: datetime,
    seal: Seal[list[Added]] | None = None,
    *,
    in_batch: bool = False,
) -> list[Added]:
    """Keep memories, all or none, and return what became of each, in order.

    Raises MemoryExists if an id is taken, with its place if they are `in_batch`.
    """
    try:
        return await tried_again(partial(_kept, database, scope, new, now, seal))
    except MemoryExists as error:
        for place, taken in (await _taken(database, scope, new)).items():
            raise (taken.inside(f"items[{place}]") if in_batch else taken) from error
        raise


async def keep_each(
    database: Database, scope: Scope, new: Sequence[NewMemory], now: datetime
) -> list[Added | OpenMemoryError]:
    """Keep the memories that can be kept, and return what became of each, in order.

    All are tried in one transaction. If ids are taken, the others are tried again. If PostgreSQL refuses a value
    without naming its memory, each half is tried by itself. If the database goes away, those stored before stay.
    """
    if not new:
        return []
    refused: dict[int, OpenMemoryError] = {}
    try:
        return list(await tried_again(partial(_kept, database, scope, new, now)))
    except MemoryExists:
        refused |= await _taken(database, scope, new) or _if_alone(new, _id_taken(new[0]))
    except Unprocessable as error:
        refused |= _if_alone(new, error)
    if refused:
        others = [one for index, one in enumerate(new) if index not in refused]
        kept = iter(await keep_each(database, scope, others, now))
        return [refused.get(index) or next(kept) for index in range(len(new))]
    middle = len(new) // 2
    return [one for half in (new[:middle], new[middle:]) for one in await keep_each(database, scope, half, now)]


def _if_alone(new: Sequence[NewMemory], error: OpenMemoryError) -> dict[int, OpenMemoryError]:
    return {0: error} if len(new) == 1 else {}


async def _kept(
    database: Database, scope: Scope, new: Sequence[NewMemory], now: datetime, seal: Seal[list[Added]] | None = None
) -> list[Added]:
    """Store the first memory of each fingerprint in one transaction; without a seal that is one round trip."""
    once = await _once(database, scope, new)
    if seal is None:
        return _answers(new, once, await memories.insert(database, scope, once, now, salience.REINFORCEMENT))
    async with database.tenant(scope) as tx:
        added = _answers(new, once, await memories.insert_within(tx, once, now, salience.REINFORCEMENT))
        await seal(tx, added)
    return added


async def _once(database: Database, scope: Scope, new: Sequence[NewMemory]) -> Sequence[NewMemory]:
    """Return the first memory of each fingerprint; raises MemoryExists for a taken id that PostgreSQL would not see."""
    first = {memory.fingerprint.int: memory for memory in reversed(new)}
    own_ids = [memory.id.int for memory in new if memory.has_own_id]
    # A repetition is not sent, and an id that comes twice is not taken yet when its second text is found to be known.
    if own_ids and (len(first) < len(new) or len(set(own_ids)) < len(own_ids)):
        for error in (await _taken(database, scope, new)).values():
            raise error
    return new if len(first) == len(new) else [one for one in new if first[one.fingerprint.int] is one]


def _answers(new: Sequence[NewMemory], once: Sequence[NewMemory], kept_before: Sequence[Duplicate]) -> list[Added]:
    """Return what became of each of `new`.

    `once` are the distinct ones that were sent to PostgreSQL, `kept_before` the memories that already said the same.
    """
    if not kept_before and len(once) == len(new):
        return [Added(memory.id, memory.primary_sector, memory.sectors, deduplicated=False) for memory in new]
    known = {row.fingerprint: row for row in kept_before}
    answers, said = [], dict[UUID, NewMemory]()
    for memory in new:
        first = said.setdefault(memory.fingerprint, memory)
        row = known.get(memory.fingerprint) or first
        deduplicated = first is not memory or memory.fingerprint in known
        answers.append(Added(row.id, row.primary_sector, row.sectors, deduplicated))
    return answers


async def _taken(database: Database, scope: Scope, new: Sequence[NewMemory]) -> dict[int, MemoryExists]:
    """Return the errors of the memories whose ids are taken, by their index, in order.

    PostgreSQL itself does not name them under row-level security. There are none if an id was taken only for a moment.
    """
    async with database.tenant(scope, read_only=True) as tx:
        kept = await memories.taken(tx, [one.id for one in new], [one.fingerprint for one in new])
    said_by = {one.id: one.fingerprint for one in kept}
    said = {one.fingerprint for one in kept}
    refused: dict[int, MemoryExists] = {}
    for index, one in enumerate(new):
        if said_by.get(one.id, one.fingerprint) != one.fingerprint:
            refused[index] = _id_taken(one)
        elif one.fingerprint not in said:  # a known memory is not stored again, so its id stays free
            said_by[one.id] = one.fingerprint
            said.add(one.fingerprint)
    return refused


def _id_taken(one: NewMemory) -> MemoryExists:
    return MemoryExists.at("id", f"{one.id} is taken by another memory of this tenant")
