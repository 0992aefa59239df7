"""The values used last are kept, and no more of them than there is room for."""

from openmemory.core.lru import LruCache


def test_what_was_not_used_for_longest_makes_room() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("one", 1)
    cache.put("two", 2)
    assert cache.get("one") == 1

    cache.put("three", 3)

    assert (cache.get("one"), cache.get("two"), cache.get("three")) == (1, None, 3)


def test_what_is_put_again_is_replaced_and_makes_nobody_go() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("one", 1)
    cache.put("two", 2)

    cache.put("one", 11)

    assert (cache.get("one"), cache.get("two")) == (11, 2)


def test_what_is_larger_than_others_takes_the_room_of_several() -> None:
    cache: LruCache[str, int] = LruCache(10)
    for size, key in enumerate(("one", "two", "three", "four"), start=1):
        cache.put(key, size, size)

    cache.put("four", 5, 5)
    kept = [cache.get(key) for key in ("one", "two", "three", "four")]
    cache.put("all", 11, 11)

    assert kept == [None, 2, 3, 5]
    assert [cache.get(key) for key in ("two", "three", "four", "all")] == [None] * 4
