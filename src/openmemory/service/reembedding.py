"""Embed every text of the database again, tenant by tenant; for its owner, never for a server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar
from uuid import UUID

import structlog

from openmemory.adapters.embedders import Embedder, TextsRefused
from openmemory.adapters.embedders.counting import TokenCounter
from openmemory.adapters.embedders.protocol import unlike_anything
from openmemory.core.memory import Embedding
from openmemory.core.scope import Scope
from openmemory.postgres import reembedding
from openmemory.postgres.database import Database
from openmemory.postgres.reembedding import Change, SetAside, Text

log = structlog.get_logger()

OnProgress = Callable[[int, int], None]
Entry = TypeVar("Entry", Change, SetAside)
Key = tuple[str, UUID]
"""A tenant, and the id of one of its memories."""

# Providers take several requests at a time; each holds so many texts.
_AT_ONCE, _REQUEST = 4, 256


@dataclass(frozen=True, slots=True)
class Counted:
    """What there is to embed; `tokens` is an estimate unless `is_exact`."""

    texts: int = 0
    tokens: int = 0
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Repaired(Counted):
    """Vectors that an upgrade set aside: `entries` have a memory, with a vector again.

    `without_memory` have none; the memories of the others are among `Reembedding.refused`.
    """

    entries: int = 0
    without_memory: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Texts of one tenant with their vectors; those that the embedder `refused` have one that is unlike anything."""

    tenant: str
    texts: Sequence[Text]
    embeddings: Sequence[Embedding]
    refused: frozenset[UUID]

    @property
    def taken(self) -> list[tuple[Text, Embedding]]:
        """Return the texts that the embedder took, with their vectors."""
        return [pair for pair in zip(self.texts, self.embeddings, strict=True) if pair[0].id not in self.refused]


@dataclass(frozen=True, slots=True)
class _Page:
    """Texts of one tenant; `is_last` where the tenant has no more."""

    tenant: str
    texts: list[Text]
    is_last: bool


class Reembedding:
    """Reads texts and writes vectors in short transactions; no transaction is open while an embedder is called.

    Needs a database whose names are `Beside`. The new rows are the checkpoint: after a kill, a run goes on with the
    texts that have none.
    """

    def __init__(self, database: Database, embedder: Embedder, batch_size: int) -> None:
        self._database = database
        self._embedder = embedder
        self._dimension = database.names.dimension
        self._batch_size = batch_size
        self._refused: dict[Key, None] = {}  # a set in order

    @property
    def refused(self) -> Sequence[Key]:
        """Return the memories whose texts the embedder refused to this object and took no other of."""
        return list(self._refused)

    async def count(self, tenants: Sequence[str], *, begun: bool) -> Counted:
        """Return what there is to embed of these tenants; if the run was `begun`, only what is left."""
        counter, texts, tokens = TokenCounter(self._embedder), 0, 0
        async with aclosing(self._pages(tenants, begun=begun)) as pages:
            async for page in pages:
                texts += len(page.texts)
                tokens += counter.count([one.spoken for one in page.texts])
        return Counted(texts, tokens, counter.is_exact)

    async def unfinished(self) -> list[str]:
        """Return the tenants that an unfinished run has not done."""
        async with self._database.registry() as tx:
            return await reembedding.unfinished(tx)

    async def texts(self, tenants: Sequence[str], *, begun: bool) -> int:
        """Return how many texts `count` would count, without reading them."""
        return sum([await self._left(tenant, begun=begun) for tenant in tenants])

    async def fill(self, on_progress: OnProgress = lambda _done, _total: None) -> int:
        """Embed every text without a new row; return how many the embedder took."""
        tenants, done, taken = await self.unfinished(), 0, 0
        total = await self.texts(tenants, begun=True)
        on_progress(done, total)
        async with aclosing(self._batches(tenants)) as batches:
            async for batch in batches:
                for part in await self._embed([(page.tenant, page.texts) for page in batch]):
                    await self._keep(part)
                    done, taken = done + len(part.texts), taken + len(part.taken)
                async with self._database.registry() as tx:
                    await reembedding.finish(tx, [page.tenant for page in batch if page.is_last])
                on_progress(done, max(done, total))
        return taken

    async def catch_up(self) -> int:
        """Apply what was written, changed and deleted before this call to the new rows; return how many texts it took.

        Later writes are left to the next call; otherwise steady writes would keep this one from returning.
        """
        done = 0
        async with self._database.registry() as tx:
            last = await reembedding.last_change(tx)
        while changes := await self._changes(last):
            for one in changes:
                self._refused.pop((one.tenant, one.id), None)
            parts = await self._embed([await self._changed(tenant, of) for tenant, of in _by_tenant(changes)])
            for (_, of), part in zip(_by_tenant(changes), parts, strict=True):
                await self._keep(part, instead_of=of)
                done += len(part.taken)
            async with self._database.registry() as tx:
                await reembedding.settle(tx, changes)
        return done

    async def repair(self, on_progress: OnProgress = lambda _done, _total: None, *, dry_run: bool = False) -> Repaired:
        """Embed the memories whose old vectors an upgrade has set aside, and mark these vectors as repaired.

        One whose text is refused stays set aside, so that the next run tries it again.
        """
        counter = TokenCounter(self._embedder)
        found, place, seen = Repaired(is_exact=counter.is_exact), 0, 0
        async with self._database.registry() as tx:
            total = await reembedding.count_aside(tx)
        while entries := await self._aside(place):
            place, seen = entries[-1].place, seen + len(entries)
            there, lacking = await self._lacking(entries)
            without_memory = found.without_memory + len(entries) - len(there)
            if dry_run:
                spoken = [one.spoken for _, texts in lacking for one in texts]
                texts, tokens = len(spoken), counter.count(spoken)
            else:
                texts, tokens = await self._repair(lacking), 0
                there = [one for one in there if (one.tenant, one.id) not in self._refused]
                async with self._database.registry() as tx:
                    await reembedding.mark_repaired(tx, there)
            found = Repaired(
                found.texts + texts, found.tokens + tokens, counter.is_exact, found.entries + len(there), without_memory
            )
            on_progress(seen, total)
        return found

    async def _pages(
        self, tenants: Sequence[str], *, begun: bool, held: Callable[[], int] = lambda: 0
    ) -> AsyncGenerator[_Page, None]:
        """Yield the texts of tenants; a page fills at most what `held` leaves of a batch."""
        read = reembedding.texts_to_do if begun else reembedding.all_texts
        for tenant in tenants:
            after, is_last = None, False
            while not is_last:
                room = self._batch_size - held()
                async with self._database.tenant(Scope(tenant), read_only=True) as tx:
                    texts = await read(tx, after, room)
                after, is_last = texts[-1].id if texts else after, len(texts) < room
                yield _Page(tenant, texts, is_last)

    async def _batches(self, tenants: Sequence[str]) -> AsyncGenerator[list[_Page], None]:
        """Yield pages together, so that many small tenants are one call of the embedder."""
        batch: list[_Page] = []

        def held() -> int:
            return sum(len(page.texts) for page in batch)

        async with aclosing(self._pages(tenants, begun=True, held=held)) as pages:
            async for page in pages:
                batch.append(page)
                if held() >= self._batch_size or len(batch) >= self._batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _left(self, tenant: str, *, begun: bool) -> int:
        async with self._database.tenant(Scope(tenant), read_only=True) as tx:
            return await reembedding.count_all(tx) - (await reembedding.count_done(tx) if begun else 0)

    async def _embed(self, of: Sequence[tuple[str, Sequence[Text]]]) -> list[_Part]:
        """Return a part for each tenant's texts, embedded exactly as when they were first told."""
        turns = asyncio.Semaphore(_AT_ONCE)
        flat = [(tenant, one) for tenant, texts in of for one in texts]

        async def request(texts: Sequence[tuple[str, Text]]) -> Sequence[Embedding]:
            async with turns:
                try:
                    return list(await self._embedder.embed([one.spoken for _, one in texts]))
                except TextsRefused as error:  # one memory must not keep all the others from moving
                    self._note_refused([(texts[place][0], texts[place][1].id) for place in error.places], error)
                    return list(error.vectors)

        requests = (request(flat[start : start + _REQUEST]) for start in range(0, len(flat), _REQUEST))
        embeddings = iter([vector for vectors in await asyncio.gather(*requests) for vector in vectors])
        return [
            _Part(tenant, texts, [next(embeddings) for _ in texts], self._among(tenant, texts)) for tenant, texts in of
        ]

    def _note_refused(self, keys: Sequence[Key], error: TextsRefused) -> None:
        self._refused.update(dict.fromkeys(keys))
        log.warning("reembedding.texts_refused", texts=len(keys), reason=f"a text {error.reason}")

    def _among(self, tenant: str, texts: Sequence[Text]) -> frozenset[UUID]:
        return frozenset(one.id for one in texts if (tenant, one.id) in self._refused)

    async def _keep(self, part: _Part, instead_of: Sequence[Change] = ()) -> None:
        if not part.texts and not instead_of:
            return
        rows = await asyncio.to_thread(reembedding.search_rows, part.texts, part.embeddings, self._dimension)
        async with self._database.tenant(Scope(part.tenant)) as tx:
            await reembedding.forget(tx, [one.id for one in instead_of])
            await reembedding.insert(tx, rows)

    async def _changes(self, last: int) -> list[Change]:
        async with self._database.registry() as tx:
            return await reembedding.changes(tx, last, self._batch_size)

    async def _changed(self, tenant: str, changes: Sequence[Change]) -> tuple[str, list[Text]]:
        async with self._database.tenant(Scope(tenant), read_only=True) as tx:
            return tenant, await reembedding.texts_of(tx, [one.id for one in changes])

    async def _aside(self, after: int) -> list[SetAside]:
        async with self._database.registry() as tx:
            return await reembedding.aside(tx, after, self._batch_size)

    async def _lacking(self, entries: Sequence[SetAside]) -> tuple[list[SetAside], list[tuple[str, list[Text]]]]:
        """Return the entries whose memories exist, and by tenant the texts of the memories to embed.

        Those lack a vector, or have the one of a text that was refused or says nothing; each is tried once.
        """
        there: list[SetAside] = []
        lacking: list[tuple[str, list[Text]]] = []
        for tenant, of in _by_tenant(entries):
            ids = [one.id for one in of]
            async with self._database.tenant(Scope(tenant), read_only=True) as tx:
                texts = await reembedding.texts_of(tx, ids)
                without = await reembedding.without_embedding(tx, ids, unlike_anything(self._dimension))
            known = {one.id for one in texts}
            there += [one for one in of if one.id in known]
            without -= self._among(tenant, texts)
            lacking.append((tenant, [one for one in texts if one.id in without]))
        return there, lacking

    async def _repair(self, lacking: Sequence[tuple[str, Sequence[Text]]]) -> int:
        """Give these memories a vector, but those whose texts are refused; return how many got one."""
        repaired = 0
        for part in await self._embed(lacking):
            if taken := part.taken:
                ids, embeddings = [one.id for one, _ in taken], [embedding for _, embedding in taken]
                async with self._database.tenant(Scope(part.tenant)) as tx:
                    await reembedding.repair(tx, ids, embeddings, unlike_anything(self._dimension))
            repaired += len(taken)
        return repaired


def _by_tenant(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    ordered = sorted(entries, key=lambda one: one.tenant)
    return ((tenant, list(of)) for tenant, of in groupby(ordered, key=lambda one: one.tenant))
