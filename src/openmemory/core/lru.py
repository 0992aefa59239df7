"""A cache of bounded size that forgets what was used longest ago."""

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """Values by key, whose sizes add up to at most `most`: those used longest ago make room."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return the value of `key`, or None; this counts as a use."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, size: int = 1) -> None:
        """Keep `value` under `key`; a value larger than the whole cache empties it and is not kept."""
        if before := self._values.pop(key, None):
            self._size -= before[1]
        self._values[key] = value, size
        self._size += size
        while self._size > self._most:
            self._size -= self._values.popitem(last=False)[1][1]
