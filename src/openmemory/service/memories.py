"""What can be done with memories, one method a use case."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from openmemory.core import belonging, changes, salience
from openmemory.core.memory import Change, Filters, Memory, NewMemory, Place, Told
from openmemory.core.scope import Scope
from openmemory.errors import (
    AnotherUsersMemory,
    DatabaseConflict,
    MemoryExists,
    MemoryNotFound,
    OpenMemoryError,
    Unprocessable,
)
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.memories import Known, SectorCount, Totals
from openmemory.service.clock import Clock
from openmemory.service.encoding import Encoder
from openmemory.service.idempotency import Result, Seal
from openmemory.service.vocabularies import Vocabularies

_TRIES = 3
_FORGOTTEN_AT_ONCE = 5_000  # some 0.3 s, far from any limit of a statement


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a memory told: `deduplicated` says that it was known, under the id given here."""

    id: UUID
    primary_sector: str
    sectors: int
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Memories, the newest first, and where the next page begins (None: there is none)."""

    items: list[Memory]
    next_before: Place | None


class Memories:
    """Tell, read, change and forget the memories of a scope.

    What writes takes a `seal` (`service.idempotency`) and calls it with its result, the last step of its transaction.
    """

    def __init__(self, database: Database, encoder: Encoder, vocabularies: Vocabularies, clock: Clock) -> None:
        self._database = database
        self._encoder = encoder
        self._vocabularies = vocabularies
        self._clock = clock

    async def add(self, scope: Scope, told: Told, seal: Seal[Added] | None = None) -> Added:
        """Keep a memory, or reinforce the one that says the same.

        Raises Malformed for a content or embedding that cannot be kept, MemoryExists if the id is taken.
        """
        return (await self._add(scope, [told], _of_one(seal)))[0]

    async def add_all(self, scope: Scope, told: Sequence[Told], seal: Seal[list[Added]] | None = None) -> list[Added]:
        """Keep memories, all or none, and return what became of each, in order; errors name the place."""
        return await self._add(scope, told, seal, in_batch=True)

    async def add_each(self, scope: Scope, told: Sequence[Told]) -> list[Added | OpenMemoryError]:
        """Keep what can be kept of `told` and return what became of each, in order. Each is embedded once.

        It may take several transactions, and so it has no seal: after a crash those kept are recognised.
        """
        now = self._clock()
        refusals = [self._encoder.refusal(one) for one in told]
        good = [changes.within(scope, one) for one, refusal in zip(told, refusals, strict=True) if refusal is None]
        outcomes = iter(await self._keep_each(scope, await self._encoder.encode(good, now), now) if good else ())
        return [next(outcomes) if refusal is None else refusal for refusal in refusals]

    async def get(self, scope: Scope, memory_id: UUID) -> Memory:
        """Return a memory; raises MemoryNotFound, and AnotherUsersMemory where the scope names a user."""
        async with self._database.tenant(scope, read_only=True) as tx:
            return belonging.of_scope(scope, memory_id, await memories.get(tx, memory_id))

    async def listing(
        self, scope: Scope, *, limit: int, offset: int = 0, before: Place | None = None, filters: Filters
    ) -> Page:
        """Return a page of the scope's memories, the newest first; `filters` may name a session and one sector."""
        async with self._database.tenant(scope, read_only=True) as tx:
            items = await memories.listing(
                tx, limit + 1, offset, before, session_id=filters.session_id, sectors=filters.sectors
            )
        more = len(items) > limit
        return Page(items[:limit], _place(items[limit - 1]) if more and limit else None)

    async def change(
        self,
        scope: Scope,
        memory_id: UUID,
        change: Change,
        versions: Collection[int] | None = None,
        seal: Seal[Memory] | None = None,
    ) -> Memory:
        """Change a memory and return it as it is now; a new content is classified and embedded again.

        What changes nothing leaves the version as it is.
        `versions`: only if it is one of them, else VersionChanged. Raises MemoryNotFound, AnotherUsersMemory, and
        MemoryExists if the new content is what another memory says.
        """
        memory = await self.get(scope, memory_id)
        now = self._clock()
        encoded = None
        if change.content is not None and (change.content != memory.content or change.embedding is not None):
            if change.embedding is None and self._encoder.embedder.dimension is None:
                raise Unprocessable("content: OM_EMBEDDINGS=none makes no vector of it; send `embedding` with it")
            (encoded,) = await self._encoder.encode([changes.retold(memory, change, change.content)], now)
        async with self._database.tenant(scope) as tx:
            current = belonging.of_scope(scope, memory_id, await memories.get_for_update(tx, memory_id))
            belonging.ensure_version(current, versions)
            if encoded is None and changes.changes_nothing(current, change, now):
                await _sealed(seal, tx, current)
                return current
            if encoded is not None:
                encoded = changes.in_its_sector(encoded, current, change)
            changed = changes.changed(current, change, encoded, current.salience_now(now))
            await memories.update(tx, changed, encoded.fingerprint if encoded else None, now)
            if encoded is None and changes.sectors(changed) != changes.sectors(current):
                await vectors.resector(tx, memory_id, current.primary_sector)
            if encoded is not None:
                await vectors.replace(tx, encoded._replace(id=memory_id))
            result = replace(changed, version=current.version + 1, updated_at=now, salience_at=now)
            await _sealed(seal, tx, result)
        self._vocabularies.note_write(scope)
        return result

    async def reinforce(
        self,
        scope: Scope,
        memory_id: UUID,
        boost: float = salience.REINFORCEMENT,
        seal: Seal[None] | None = None,
    ) -> None:
        """Make a memory more salient; raises MemoryNotFound."""
        async with self._database.tenant(scope) as tx:
            belonging.of_scope(scope, memory_id, await memories.get(tx, memory_id))
            await memories.reinforce(tx, [memory_id], boost, self._clock())
            await _sealed(seal, tx, None)

    async def delete(
        self,
        scope: Scope,
        memory_id: UUID,
        seal: Seal[None] | None = None,
        *,
        versions: Collection[int] | None = None,
    ) -> None:
        """Forget a memory with its vectors and links; raises MemoryNotFound, AnotherUsersMemory, VersionChanged."""
        async with self._database.tenant(scope) as tx:
            current = belonging.of_scope(scope, memory_id, await memories.get_for_update(tx, memory_id))
            belonging.ensure_version(current, versions)
            if not await memories.delete(tx, memory_id):
                raise MemoryNotFound(f"memory {memory_id}")
            await _sealed(seal, tx, None)
        self._vocabularies.note_write(scope)

    async def delete_user(self, scope: Scope, user: str, seal: Seal[int] | None = None) -> int:
        """Forget a user and all its memories, and return how many there were; raises AnotherUsersMemory.

        Many go in pieces: where one fails, those before stay deleted, and asked again it goes on.
        """
        if scope.user not in (None, user):
            raise AnotherUsersMemory(f"user {user} is not the one that asks")
        deleted, goes_on = 0, True
        while goes_on:
            async with self._database.tenant(scope) as tx:
                piece = await memories.delete_of_user(tx, user, _FORGOTTEN_AT_ONCE)
                deleted, goes_on = deleted + piece, piece == _FORGOTTEN_AT_ONCE
                if not goes_on:
                    await memories.forget_user(tx, user)
                    await _sealed(seal, tx, deleted)
        self._vocabularies.note_write(scope)
        return deleted

    async def sector_counts(self, scope: Scope) -> list[SectorCount]:
        """Return how many memories each sector has, and their average salience now."""
        async with self._database.tenant(scope, read_only=True) as tx:
            return await memories.sector_counts(tx, self._clock())

    async def totals(self, scope: Scope) -> Totals:
        """Return how much the tenant has in all."""
        async with self._database.tenant(scope, read_only=True) as tx:
            return await memories.totals(tx)

    async def _add(
        self, scope: Scope, told: Sequence[Told], seal: Seal[list[Added]] | None, *, in_batch: bool = False
    ) -> list[Added]:
        now = self._clock()
        new = await self._encoder.encode([changes.within(scope, one) for one in told], now, in_batch=in_batch)
        try:
            return await self._kept(scope, new, now, seal)
        except MemoryExists as error:
            raise await self._taken(scope, new, in_batch=in_batch) from error

    async def _keep_each(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added | OpenMemoryError]:
        """Keep what can be kept: all in one transaction or, where something is refused, each half by itself."""
        try:
            return list(await self._kept(scope, new, now, None))
        except (MemoryExists, Unprocessable) as refused:
            if len(new) > 1:
                middle = len(new) // 2
                halves = (new[:middle], new[middle:])
                return [outcome for half in halves for outcome in await self._keep_each(scope, half, now)]
            if isinstance(refused, MemoryExists):
                return [await self._taken(scope, new)]
            return [refused]

    async def _kept(
        self, scope: Scope, new: Sequence[NewMemory], now: datetime, seal: Seal[list[Added]] | None
    ) -> list[Added]:
        """Keep memories, all or none; raises MemoryExists if an id is taken."""
        for attempt in range(_TRIES):
            try:
                added = await self._keep(scope, new, now, seal)
                break
            except DatabaseConflict:
                # Two batches that repeat each other's memories in another order; the loser starts again.
                if attempt == _TRIES - 1:
                    raise
        self._vocabularies.note_write(scope)
        return added

    async def _taken(self, scope: Scope, new: Sequence[NewMemory], *, in_batch: bool = False) -> MemoryExists:
        """Return the error that says which id is taken: PostgreSQL does not tell under row-level security."""
        async with self._database.tenant(scope, read_only=True) as tx:
            kept = await memories.taken(tx, [one.id for one in new], [one.fingerprint for one in new])
        ids, said = {one.id for one in kept}, {one.fingerprint for one in kept}
        for place, one in enumerate(new):
            if one.fingerprint in said:  # what is known is not kept again, whatever its id
                continue
            if one.id in ids:
                where = f"items[{place}].id" if in_batch else "id"
                return MemoryExists(f"{where}: {one.id} is taken by another memory of this tenant")
            ids.add(one.id)
            said.add(one.fingerprint)
        return MemoryExists("an id was taken by another memory of this tenant meanwhile")

    async def _keep(
        self, scope: Scope, new: Sequence[NewMemory], now: datetime, seal: Seal[list[Added]] | None
    ) -> list[Added]:
        """Keep the first of each fingerprint in one transaction, which is one round trip where nothing seals it."""
        first = {memory.fingerprint: memory for memory in reversed(new)}
        once = [memory for memory in new if first[memory.fingerprint] is memory]
        if seal is None:
            return _answers(new, await memories.insert(self._database, scope, once, now, salience.REINFORCEMENT))
        async with self._database.tenant(scope) as tx:
            added = _answers(new, await memories.insert_within(tx, once, now, salience.REINFORCEMENT))
            await seal(tx, added)
        return added


def _place(memory: Memory) -> Place:
    return Place(memory.created_at, memory.id)


async def _sealed(seal: Seal[Result] | None, tx: TenantTx, result: Result) -> None:
    if seal is not None:
        await seal(tx, result)


def _of_one(seal: Seal[Added] | None) -> Seal[list[Added]] | None:
    if seal is None:
        return None

    async def seal_one(tx: TenantTx, added: list[Added]) -> None:
        await seal(tx, added[0])

    return seal_one


def _answers(new: Sequence[NewMemory], kept_before: Sequence[Known]) -> list[Added]:
    """Return what became of each of `new`, where those `kept_before` say the same."""
    known = {row.fingerprint: row for row in kept_before}
    answers, said = [], dict[UUID, NewMemory]()
    for memory in new:
        first = said.setdefault(memory.fingerprint, memory)
        row = known.get(memory.fingerprint) or first
        deduplicated = first is not memory or memory.fingerprint in known
        answers.append(Added(row.id, row.primary_sector, row.sectors, deduplicated))
    return answers
