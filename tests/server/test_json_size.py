"""What is counted of a body before it is read."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.memory import JsonValue
from openmemory.errors import TooLarge
from openmemory.server.json_size import outside_strings, refuse_intricate

LIMIT = 4_000_000
texts = st.text('"\\[{,]}a', max_size=8)
values = st.recursive(
    st.one_of(texts, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)


def counted(value: JsonValue) -> tuple[int, int]:
    """Return how many lists and objects a value has, and how many commas are written between what is in them."""
    if not isinstance(value, list | dict):
        return 0, 0
    inside = [counted(inner) for inner in (value.values() if isinstance(value, dict) else value)]
    return 1 + sum(lists for lists, _ in inside), max(0, len(inside) - 1) + sum(commas for _, commas in inside)


@given(values)
def test_what_stands_in_strings_is_not_counted(value: JsonValue) -> None:
    assert outside_strings(json.dumps(value, separators=(",", ":")).encode()) == counted(value)


@pytest.mark.parametrize("inside", ["[", "{,", '\\"[', "\\\\[", '\\\\\\",'])
def test_a_long_string_is_one(inside: str) -> None:
    body = f'["{inside * 200_000}", "{inside * 200_000}"]'.encode()

    assert outside_strings(body) == (1, 1)
    refuse_intricate(body, LIMIT)


@pytest.mark.parametrize("filling", [b'"",', b'"', b'\\"', b"\\\\", b'"\\\\",', b"1,"])
def test_counting_takes_the_memory_of_a_few_bodies_whatever_is_in_them(filling: bytes) -> None:
    body = b"[" * 100_001 + filling * (2 * 1024**2 // len(filling))

    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            refuse_intricate(body, LIMIT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 3 * len(body)
