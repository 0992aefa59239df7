"""Long work is cut into parts of some size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.parts import in_parts


@given(st.lists(st.integers(0, 700_000)))
def test_the_parts_are_the_whole_in_its_order(sizes: list[int]) -> None:
    parts = [list(part) for part in in_parts(sizes, int)]

    assert [size for part in parts for size in part] == sizes
    assert all(sum(part[:-1]) < 200_000 for part in parts)


@pytest.mark.parametrize("values", [[], [1]])
def test_little_is_one_part(values: list[int]) -> None:
    assert list(in_parts(values, int)) == [values]
