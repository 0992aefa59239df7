"""Decode the columns of search rows, each of which PostgreSQL sends as one string."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from openmemory.core.candidates import Integers
from openmemory.core.corpus import Columns, Turns
from openmemory.errors import DatabaseUnavailable

Entry = TypeVar("Entry", bound=np.generic)

PLACES = (1 << 48) - 1
"""A row's number (`seq`) is its memory's in these bits. Bits 48 to 61 count the writings of the row; bit 62 is set
where an import or a repair has given the row its vector."""
LENGTH_BITS = 13
LENGTHS = (1 << LENGTH_BITS) - 1
"""The bits of `traits` that count a text's terms; its marks are above them."""

_EPOCH_2000_US = 946_684_800_000_000
_INT4, _INT8 = np.dtype(">i4"), np.dtype(">i8")
_LOCATOR = np.dtype([("id", "V16"), ("session", ">i8")])
# A sparsevec as sent: dimensions, count, unused, each an int4; then that many int4 indices and float4 values.
_HEADER_INTS, _COUNT_AT = 3, 1


@dataclass(frozen=True, slots=True)
class SentRows:
    """Rows as PostgreSQL sends them: a digest of their numbers, and each column as one string."""

    digest: Decimal
    locators: bytes
    seqs: bytes
    occurred_at: bytes
    speakers: bytes
    traits: bytes
    embedded: bytes
    codes: bytes
    terms_bytes: bytes
    terms: bytes


def count(sent: SentRows) -> int:
    """Return how many rows were sent."""
    return len(sent.locators) // _LOCATOR.itemsize


def decoded(sent: Sequence[SentRows], dimension: int) -> Columns:
    """Return the columns; raises DatabaseUnavailable if the codes are not of `dimension` bits."""
    locators = _entries([part.locators for part in sent], _LOCATOR)
    traits = _entries([part.traits for part in sent], _INT4).astype(np.int64)
    term_counts, keys_of_all, frequencies = _term_lists(sent)
    turns = Turns(
        ids=locators["id"],
        places=places(b"".join(part.seqs for part in sent)),
        sessions=locators["session"].astype(np.int64),
        occurred_at_us=_entries([part.occurred_at for part in sent], _INT8).astype(np.int64) + _EPOCH_2000_US,
        speakers=_entries([part.speakers for part in sent], _INT4).astype(np.int32),
        marks=(traits >> LENGTH_BITS).astype(np.uint8),
        lengths=traits & LENGTHS,
    )
    codes = _codes(b"".join(part.codes for part in sent), len(turns), dimension)
    embedded = _entries([part.embedded for part in sent], np.dtype(np.bool_))
    return Columns(turns, codes, embedded, term_counts, keys_of_all, frequencies)


def places(seqs: bytes) -> Integers:
    """Return the memories' own numbers, which rise with their arrival, from rows' numbers (`seq`)."""
    return np.frombuffer(seqs, _INT8).astype(np.int64) & PLACES


def keys(binary: bytes) -> npt.NDArray[np.int32]:
    """Return the indices of a sparsevec in PostgreSQL's binary form."""
    count = int(np.frombuffer(binary, _INT4, 1, 4 * _COUNT_AT)[0])
    return np.frombuffer(binary, _INT4, count, 4 * _HEADER_INTS).astype(np.int32)


def _entries(strings: Sequence[bytes], kind: np.dtype[Entry]) -> npt.NDArray[Entry]:
    return np.frombuffer(b"".join(strings), kind)


def _codes(sent: bytes, rows: int, dimension: int) -> npt.NDArray[np.uint8]:
    """Return the code of each row; PostgreSQL sends the count of its bits and then the bytes."""
    entry = np.dtype([("bits", ">i4"), ("bytes", "u1", ((dimension + 7) // 8,))])
    if len(sent) != rows * entry.itemsize or (rows and np.frombuffer(sent, _INT4, 1)[0] != dimension):
        raise DatabaseUnavailable(
            f"the vectors no longer have the {dimension} dimensions that this server began with; restart it"
        )
    return np.ascontiguousarray(np.frombuffer(sent, entry)["bytes"])


def _term_lists(sent: Sequence[SentRows]) -> tuple[Integers, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return the count of terms of each row, then the keys and the frequencies of all rows in order."""
    ints = _entries([part.terms for part in sent], _INT4)
    sizes = _entries([part.terms_bytes for part in sent], _INT4).astype(np.int64) // 4
    counts = (sizes - _HEADER_INTS) // 2
    firsts = np.cumsum(sizes) - sizes + _HEADER_INTS
    at = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    values = ints.view(">f4")[at + np.repeat(counts, counts)]
    return counts, ints[at].astype(np.int32), values.astype(np.uint8)
