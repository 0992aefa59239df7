"""A cache of the rows of the scopes asked last, so that PostgreSQL need not send them again.

The cache alone answers no question. After a question is asked, PostgreSQL says which rows there are. Rows that are not
cached are read then, and the memories found are read by id under row-level security.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from time import monotonic
from typing import TypeVar

from openmemory.core.corpus import Columns, Corpus
from openmemory.core.scope import Scope
from openmemory.postgres import vectors
from openmemory.postgres.database import TenantTx
from openmemory.postgres.vectors import Version

# More rows than these are processed in a thread, so that other requests are answered meanwhile.
_INLINE_ROWS = 10_000
Work = TypeVar("Work")
_Key = tuple[Scope, bool]
# Not the threads that encode batches: one tenant's many batches would keep the questions of others waiting.
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="search")


@dataclass(frozen=True, slots=True)
class Known:
    """A corpus as it was at a version; `steady` if that had not changed when it was last checked.

    `last` is the place of the newest row. PostgreSQL was asked at `as_of_s` (of time.monotonic) or later.
    """

    corpus: Corpus
    version: Version
    last: int
    steady: bool = False
    as_of_s: float = -inf


class BeingRead(Exception):
    """Another question is reading the scope."""

    def __init__(self, reading: "asyncio.Future[Known | None]") -> None:
        super().__init__()
        self._reading = reading

    async def over(self) -> Known | None:
        """Return what that reading found, once it is over; None if it failed."""
        return await asyncio.shield(self._reading)


class Corpora:
    """Keeps the corpora of the scopes asked last, at most `most_bytes` of them.

    A larger one is read again for every question. Key and value are of one tenant, and each use is checked against the
    rows that PostgreSQL shows.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[_Key, Known] = OrderedDict()
        self._bytes = 0
        self._readings: dict[_Key, asyncio.Future[Known | None]] = {}

    async def of(self, tx: TenantTx, *, shared: bool, found: Known | None = None) -> Corpus:
        """Return every row that the scope of `tx` may see; `shared` adds to a user's rows those of no user.

        `tx` is read-only and has read nothing yet. `found` is the result of another question's reading, if this one
        has waited for it. Raises BeingRead while another question reads the scope; wait for it without a connection.
        """
        as_of_s = monotonic()
        version = await vectors.version(tx, shared=shared)
        if (held := self._held(tx.scope, version, shared, as_of_s)) is not None:
            return held
        if found is not None and found.version == version:
            return found.corpus
        key = _key(tx.scope, shared)
        if (reading := self._readings.get(key)) is not None:
            raise BeingRead(reading)
        with self._reading(key) as reading:
            known = self._known.get(key) or found
            new = (known and await _caught_up(tx, known, version, shared)) or await _read(tx, version, shared)
            new = replace(new, as_of_s=as_of_s)
            self._keep(key, new)
            reading.set_result(new)
            return new.corpus

    def known(self, scope: Scope, *, shared: bool) -> Known | None:
        """Return what is cached of a scope; it may be out of date."""
        known = self._known.get(_key(scope, shared))
        if known is not None:
            self._known.move_to_end(_key(scope, shared))
        return known

    def confirm(self, scope: Scope, known: Known, *, shared: bool, as_of_s: float) -> None:
        """Note that PostgreSQL, asked at `as_of_s` or later, showed the scope at the version of `known`."""
        now = self._known.get(_key(scope, shared))
        if now is not None and now.corpus is known.corpus:
            self._known[_key(scope, shared)] = replace(now, as_of_s=max(as_of_s, now.as_of_s))

    @contextmanager
    def _reading(self, key: _Key) -> "Iterator[asyncio.Future[Known | None]]":
        """Make other questions to the scope wait for the block; the future takes its result."""
        reading = self._readings[key] = asyncio.get_running_loop().create_future()
        try:
            yield reading
        finally:
            del self._readings[key]
            if not reading.done():
                reading.set_result(None)

    def _held(self, scope: Scope, version: Version, shared: bool, as_of_s: float) -> Corpus | None:
        known = self.known(scope, shared=shared)
        if known is None or known.version != version:
            return None
        self._keep(_key(scope, shared), replace(known, steady=True, as_of_s=as_of_s))
        return known.corpus

    def _keep(self, key: _Key, known: Known) -> None:
        if before := self._known.pop(key, None):
            self._bytes -= before.corpus.size_bytes
        if known.corpus.size_bytes > self._most_bytes:
            return
        self._known[key] = known
        self._bytes += known.corpus.size_bytes
        while self._bytes > self._most_bytes:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= oldest.corpus.size_bytes


def _key(scope: Scope, shared: bool) -> _Key:
    """Return the cache key of a scope; without a user, a scope sees the rows of no user anyway."""
    return scope, shared and scope.user is not None


async def _caught_up(tx: TenantTx, known: Known, version: Version, shared: bool) -> Known | None:
    """Return `known` with the rows added since, or None if other rows have changed as well."""
    if version.of_table != known.version.of_table or version.rows <= known.version.rows:
        return None
    rows = await vectors.rows(tx, shared=shared, after=known.last)
    together = Version(known.version.rows + len(rows), known.version.digest + rows.digest, version.of_table)
    if together != version:
        return None
    return await worked(known.corpus, lambda: _known(rows.decoded(), version, known.corpus))


async def _read(tx: TenantTx, version: Version, shared: bool) -> Known:
    rows = await vectors.rows(tx, shared=shared)
    read = Version(len(rows), rows.digest, version.of_table)
    return await worked(rows, lambda: _known(rows.decoded(), read))


def _known(columns: Columns, version: Version, before: Corpus | None = None) -> Known:
    """Return what is known with the rows of `columns`, all newer than those of `before`."""
    read = Corpus.of(columns)
    return Known(read if before is None else before.with_more(read), version, int(columns.turns.places.max(initial=0)))


async def worked(rows: Sized, work: Callable[[], Work]) -> Work:
    """Return the result of `work`; if the rows are many it runs in a thread, so that others are answered."""
    if len(rows) <= _INLINE_ROWS:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
