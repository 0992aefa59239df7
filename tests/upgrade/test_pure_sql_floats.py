"""The functions of step 003 that rebuild float32 from its bytes with SQL alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection

from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from tests.conftest import Server
from tests.postgres.databases import a_place

STEP = "003_convert_vectors_to_pgvector"

patterns = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300)


@pytest.fixture(scope="module")
def floats(postgres: Server) -> Iterator[Connection]:
    """Yield a connection to an empty database with the functions of the step, for vectors of 4 dimensions."""
    with a_place(postgres) as place, place.owner() as connection:
        layout = Layout(place.names, Plan(dimension=4))
        connection.execute("CREATE EXTENSION vector; CREATE SCHEMA openmemory_new_public")
        for block in ("session", "floats", "problems"):
            connection.execute(layout.block(STEP, block).encode())
        yield connection


@settings(deadline=None)
@given(patterns)
def test_every_bit_pattern_of_a_float_comes_back_as_it_was(floats: Connection, bits: Sequence[int]) -> None:
    bytes_ = finite(np.array(bits, "<u4")).tobytes()

    assert read_back(floats, bytes_) == bytes_


def test_both_zeros_the_denormals_and_both_ends_of_every_exponent_come_back_as_they_were(floats: Connection) -> None:
    exponents = np.arange(0, 255, dtype="<u4") << 23
    mantissas = np.array([0, 1, 2, 0x7F, 0xFFFF, 0x10000, 0x3FFFFF, 0x400000, 0x7FFFFE, 0x7FFFFF], "<u4")
    positive = (exponents[:, None] | mantissas).ravel()
    bytes_ = np.concatenate([positive, positive | np.uint32(0x80000000)]).tobytes()

    assert read_back(floats, bytes_) == bytes_
    assert written_back(floats, bytes_) == bytes_


def test_all_upper_halves_with_random_lower_ones_come_back_as_they_were(floats: Connection) -> None:
    lower = np.random.default_rng(4).integers(0, 2**16, 2**16, dtype="<u4")
    bytes_ = finite(((np.arange(2**16, dtype="<u4") << 16) | lower).astype("<u4")).tobytes()

    assert read_back(floats, bytes_) == bytes_


@pytest.mark.parametrize("pattern", [0x7F800000, 0xFF800000, 0x7FC00000, 0xFFFFFFFF, 0x7F800001])
def test_what_is_not_finite_is_read_as_nan(floats: Connection, pattern: int) -> None:
    (read,) = one(floats, "openmemory_vector_of(%b)", np.array([pattern], "<u4").tobytes())

    assert np.isnan(read)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([0, -0.0, 1e-45, -3.4e38], "<f4").tobytes(), None),
        (None, "no value"),
        (b"", "0 dimensions, the database has 4"),
        (b"\0" * 15, "length is not a multiple of 4 bytes"),
        (b"\0" * 12, "3 dimensions, the database has 4"),
        (np.array([1, 2, 3, np.nan], "<f4").tobytes(), "holds NaN"),
        (np.array([0x7F800001, 0, 0, 0], "<u4").tobytes(), "holds NaN"),
        (np.array([1, np.inf, 2, 3], "<f4").tobytes(), "holds infinity"),
        (np.array([1, 2, 3, -np.inf], "<f4").tobytes(), "holds infinity"),
    ],
)
def test_a_value_that_cannot_be_a_vector_has_its_reason(
    floats: Connection, value: bytes | None, reason: str | None
) -> None:
    assert one(floats, "openmemory_vector_problem(%b, 4)", value) == reason


def read_back(connection: Connection, value: bytes) -> bytes:
    """Return the bytes of the floats that the database makes of `value`."""
    return np.array(one(connection, "openmemory_vector_of(%b)", value), "<f4").tobytes()


def written_back(connection: Connection, value: bytes) -> bytes:
    """Return what the database makes of `value` and then of its floats."""
    return bytes(one(connection, "openmemory_bytes_of(openmemory_new_public.openmemory_vector_of(%b))", value))


def one(connection: Connection, call: str, value: bytes | None) -> Any:  # noqa: ANN401 -- a float array, text or bytes
    """Return what a function of the step says of a value, in the binary format: text would round."""
    query = f"SELECT openmemory_new_public.{call}"
    row = connection.execute(query.encode(), [value], binary=True).fetchone()
    assert row is not None
    return row[0]


def finite(bits: np.ndarray[Any, np.dtype[np.uint32]]) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the patterns with the exponent of those that are no number changed."""
    return np.where(np.isfinite(bits.view("<f4")), bits, bits & np.uint32(0xBFFFFFFF)).astype("<u4")
