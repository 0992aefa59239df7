"""What reading a question needs to know of a corpus before it is embedded, cached in the process."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt

from openmemory.core.lru import LruCache
from openmemory.core.question import Vocabulary
from openmemory.core.scope import Scope
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database

_FRESH_S = 30.0
_FRESH_AFTER_WRITE_S = 2.0
_KEPT_BYTES, _WRITES_KEPT = 1 << 26, 10_000
_SAMPLE = 3_000
_COMMON_SHARE = 0.2
# Below this many memories a word in a fifth of them says nothing about the corpus.
_ENOUGH = 20


_Key = tuple[Scope, bool]


@dataclass(slots=True)
class _Entry:
    vocabulary: Vocabulary
    made_s: float
    is_small: bool


class Vocabularies:
    """A snapshot for each scope: who speaks in it, and which words are common. The last used are kept, in 64 MiB.

    A snapshot is at most 30 seconds old, or 2 in a small scope whose tenant this process has written to: a large scope
    costs a pass over it, and a few memories change little there. A stale one costs some ranking quality, never a row.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: LruCache[_Key, _Entry] = LruCache(_KEPT_BYTES)
        self._written_s: LruCache[str, float] = LruCache(_WRITES_KEPT)
        self._readings: dict[_Key, asyncio.Task[Vocabulary]] = {}

    async def of(self, scope: Scope, *, shared: bool = False) -> Vocabulary:
        """Return the scope's vocabulary, from the cache if it is fresh; `shared` adds to a user's memories nobody's."""
        key = scope, shared and scope.user is not None
        entry = self._entries.get(key)
        if entry is not None and self._is_fresh(scope, entry):
            return entry.vocabulary
        # One reading serves all callers: they share its result or its error, and a caller that leaves does not end it.
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = asyncio.create_task(self._renewed(key))
            reading.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(reading)

    def _forget(self, key: _Key, reading: asyncio.Task[Vocabulary]) -> None:
        del self._readings[key]
        if not reading.cancelled():
            reading.exception()  # seen, even if nobody waits for it any more

    def note_write(self, scope: Scope) -> None:
        """Say that the tenant's memories have changed."""
        self._written_s.put(scope.tenant, monotonic())

    def _is_fresh(self, scope: Scope, entry: _Entry) -> bool:
        age_s = monotonic() - entry.made_s
        written = (self._written_s.get(scope.tenant) or 0.0) >= entry.made_s
        return age_s < (_FRESH_AFTER_WRITE_S if written and entry.is_small else _FRESH_S)

    async def _renewed(self, key: _Key) -> Vocabulary:
        scope, shared = key
        begun_s = monotonic()  # a write during the reading may be missing
        async with self._database.tenant(scope, read_only=True) as tx:
            speakers = await memories.speakers(tx, _SAMPLE)
            sample = await vectors.term_sample(tx, _SAMPLE)
            if shared:
                speakers |= await memories.speakers(tx, _SAMPLE, of_nobody=True)
                sample += await vectors.term_sample(tx, _SAMPLE, of_nobody=True)
        entry = _Entry(Vocabulary(speakers, _common(sample)), begun_s, is_small=len(sample) < _SAMPLE // 2)
        self._entries.put(key, entry, _size_bytes(entry.vocabulary))
        return entry.vocabulary


def _size_bytes(vocabulary: Vocabulary) -> int:
    """Return about how much memory a vocabulary takes: a speaker some 750 bytes, and each part of a name its own."""
    characters, parts = sum(map(len, vocabulary.speakers)), sum(map(len, vocabulary.named))
    return 1_000 + 750 * len(vocabulary.speakers) + 2 * characters + 65 * parts + 100 * len(vocabulary.common)


def _common(sample: Sequence[npt.NDArray[np.int32]]) -> frozenset[int]:
    """Return the terms that more than a fifth of the memories have."""
    if len(sample) < _ENOUGH:
        return frozenset()
    keys, counts = np.unique(np.concatenate(sample), return_counts=True)
    return frozenset(keys[counts > _COMMON_SHARE * len(sample)].tolist())
