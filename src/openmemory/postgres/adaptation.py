"""How pgvector's types and long columns travel between Python and PostgreSQL: binary, without text in between."""

from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import SparseVector
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

from openmemory.core.text import TermVector

TERM_SPACE = 1 << 29
"""The number of dimensions of a memory's term list: one a 29-bit term key."""

_UUID_OID, _UUID_ARRAY_OID = 2950, 2951
_FLOAT4_OID, _FLOAT4_ARRAY_OID = 700, 1021
# PostgreSQL's array_send: dimensions, has nulls, type of the elements, length, lower bound; then length and bytes each.
_ARRAY_HEADER = Struct(">iiIii")


@dataclass(frozen=True, slots=True)
class Uuids:
    """A uuid[]: 16 raw bytes an entry."""

    values: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Floats:
    """A float4[]."""

    values: npt.NDArray[np.float32]


class _UuidsDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: Uuids) -> bytes:
        return _array(obj.values, _UUID_OID, "V16")


class _FloatsDumper(Dumper):
    format = Format.BINARY
    oid = _FLOAT4_ARRAY_OID

    def dump(self, obj: Floats) -> bytes:
        return _array(obj.values, _FLOAT4_OID, ">f4")


async def register_types(connection: AsyncConnection[Any]) -> None:
    """Teach `connection` our columns, and vector, halfvec, sparsevec and bit where the database has them."""
    connection.adapters.register_dumper(Uuids, _UuidsDumper)
    connection.adapters.register_dumper(Floats, _FloatsDumper)
    cursor = await connection.execute("SELECT to_regtype('vector') IS NOT NULL")
    found = await cursor.fetchone()
    if found and found[0]:
        await register_vector_async(connection)


def sparse(terms: TermVector) -> SparseVector:
    """Return the term frequencies as PostgreSQL stores them."""
    weights = dict(zip(terms.keys.tolist(), terms.frequencies.tolist(), strict=True))
    return SparseVector(weights, TERM_SPACE)


def _array(values: npt.NDArray[Any], element_oid: int, kind: str) -> bytes:
    entries = np.empty(len(values), [("length", ">i4"), ("value", kind)])
    entries["length"] = entries.dtype["value"].itemsize
    entries["value"] = values
    return _ARRAY_HEADER.pack(1, 0, element_oid, len(values), 1) + entries.tobytes()
