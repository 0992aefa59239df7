"""What was used last is remembered, and no more than there is room for."""

from openmemory.core.latest import Latest


def test_what_was_not_used_for_longest_makes_room() -> None:
    latest: Latest[str, int] = Latest(2)
    latest.put("one", 1)
    latest.put("two", 2)
    assert latest.get("one") == 1

    latest.put("three", 3)

    assert (latest.get("one"), latest.get("two"), latest.get("three")) == (1, None, 3)


def test_what_is_put_again_is_replaced_and_makes_nobody_go() -> None:
    latest: Latest[str, int] = Latest(2)
    latest.put("one", 1)
    latest.put("two", 2)

    latest.put("one", 11)

    assert (latest.get("one"), latest.get("two")) == (11, 2)


def test_what_is_larger_than_others_takes_the_room_of_several() -> None:
    latest: Latest[str, int] = Latest(10)
    for size, key in enumerate(("one", "two", "three", "four"), start=1):
        latest.put(key, size, size)

    latest.put("four", 5, 5)
    kept = [latest.get(key) for key in ("one", "two", "three", "four")]
    latest.put("all", 11, 11)

    assert kept == [None, 2, 3, 5]
    assert [latest.get(key) for key in ("two", "three", "four", "all")] == [None] * 4
