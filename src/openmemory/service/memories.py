"""What can be done with memories, one method a use case."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from openmemory.core import belonging, changes, salience
from openmemory.core.memory import Change, Filters, Memory, NewMemory, Place, Told
from openmemory.core.scope import Scope
from openmemory.errors import AnotherUsersMemory, MemoryNotFound, OpenMemoryError, Unprocessable
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.memories import SectorCount, Totals
from openmemory.service.clock import Clock
from openmemory.service.conflicts import tried_again
from openmemory.service.encoding import Encoder
from openmemory.service.idempotency import Result, Seal
from openmemory.service.keeping import Added, keep_all, keep_each
from openmemory.service.vocabularies import Vocabularies

_FORGOTTEN_AT_ONCE = 5_000  # some 0.3 s, far from any limit of a statement


@dataclass(frozen=True, slots=True)
class Page:
    """Memories, the newest first, and where the next page begins (None: there is none)."""

    items: list[Memory]
    next_before: Place | None


class Memories:
    """Add, read, change and delete the memories of a scope.

    Writes take a `seal` (`service.idempotency`) and call it with their result as the last step of their transaction.
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
        """Store the memories that can be stored, and return each one's outcome, in order. Each is embedded once.

        It may take several transactions, so it has no seal: a repetition after a crash recognises the stored ones.
        """
        now = self._clock()
        refusals = [self._encoder.refusal(one) for one in told]
        good = [one for one, refusal in zip(told, refusals, strict=True) if refusal is None]
        new = await self._encoder.encode_each(changes.within(scope, good), now)
        kept = iter(await keep_each(self._database, scope, [one for one in new if isinstance(one, NewMemory)], now))
        outcomes = iter([next(kept) if isinstance(one, NewMemory) else one for one in new])
        self._vocabularies.note_write(scope)
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

        A change to values that it has already leaves its version as it is.
        `versions`: it must be at one of these, else VersionChanged. Raises MemoryNotFound, AnotherUsersMemory,
        MemoryExists if another memory says the new content, and Malformed if it differs from `change.as_read`.
        """
        changed = None
        while changed is None:
            changed = await self._changed(scope, memory_id, change, versions, seal)
        self._vocabularies.note_write(scope)
        return changed

    async def _changed(
        self,
        scope: Scope,
        memory_id: UUID,
        change: Change,
        versions: Collection[int] | None,
        seal: Seal[Memory] | None,
    ) -> Memory | None:
        """Change a memory; return None if its content was the new one at first, but has changed meanwhile."""
        memory = await self.get(scope, memory_id)
        now = self._clock()
        encoded = await self._encoded(memory, change, now)
        async with self._database.tenant(scope) as tx:
            current = belonging.of_scope(scope, memory_id, await memories.get_for_update(tx, memory_id))
            belonging.ensure_version(current, versions)
            belonging.ensure_as_read(current, change.as_read)
            if encoded is None and change.content not in (None, current.content):
                return None
            if encoded is None and changes.changes_nothing(current, change, now):
                await _sealed(seal, tx, current)
                return current
            if encoded is not None:
                encoded = changes.reclassified(encoded, current, change)
            changed = changes.changed(current, change, encoded, current.salience_now(now))
            metadata = changes.difference(current.metadata, changed.metadata)
            version = await memories.update(tx, changed, metadata, encoded.fingerprint if encoded else None, now)
            if encoded is None and changes.sector_pair(changed) != changes.sector_pair(current):
                await vectors.resector(tx, memory_id, current.primary_sector)
            if encoded is not None:
                await vectors.replace(tx, encoded._replace(id=memory_id))
            result = replace(changed, version=version, updated_at=now, salience_at=now)
            await _sealed(seal, tx, result)
        return result

    async def _encoded(self, memory: Memory, change: Change, now: datetime) -> NewMemory | None:
        """Return the memory encoded with its new content, or None if the content stays."""
        if change.content is None or (change.content == memory.content and change.embedding is None):
            return None
        if change.embedding is None and self._encoder.embedder.dimension is None:
            raise Unprocessable("content: OM_EMBEDDINGS=none makes no vector of it; send `embedding` with it")
        (encoded,) = await self._encoder.encode([changes.retold(memory, change, change.content)], now)
        return encoded

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
            if not await memories.reinforce(tx, [memory_id], boost, self._clock()):
                raise MemoryNotFound(f"memory {memory_id}")
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
            await memories.delete(tx, memory_id)
            await _sealed(seal, tx, None)
        self._vocabularies.note_write(scope)

    async def delete_user(self, scope: Scope, user: str, seal: Seal[int] | None = None) -> int:
        """Forget a user and all its memories, and return how many there were; raises AnotherUsersMemory.

        Many are deleted in pieces: if one fails, the earlier ones stay deleted, and another call goes on.
        """
        if scope.user not in (None, user):
            raise AnotherUsersMemory(f"user {user} is not the one that asks")
        deleted, goes_on = 0, True
        while goes_on:
            piece = await tried_again(partial(self._delete_piece, scope, user, deleted, seal))
            deleted, goes_on = deleted + piece, piece == _FORGOTTEN_AT_ONCE
        self._vocabularies.note_write(scope)
        return deleted

    async def _delete_piece(self, scope: Scope, user: str, before: int, seal: Seal[int] | None) -> int:
        """Delete the next memories of a user after `before`, and the user with the last of them; return how many."""
        async with self._database.tenant(scope) as tx:
            piece = await memories.delete_of_user(tx, user, _FORGOTTEN_AT_ONCE)
            if piece < _FORGOTTEN_AT_ONCE:
                await memories.forget_user(tx, user)
                await _sealed(seal, tx, before + piece)
        return piece

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
        new = await self._encoder.encode(changes.within(scope, told), now, in_batch=in_batch)
        added = await keep_all(self._database, scope, new, now, seal, in_batch=in_batch)
        self._vocabularies.note_write(scope)
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
