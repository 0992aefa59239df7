"""How pgvector's types and long columns travel between Python and PostgreSQL: binary, without text in between."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection, sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.json import set_json_loads

from openmemory.core.memory import Embedding
from openmemory.core.text import TermVector
from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import EXTENSION_SCHEMA
from openmemory.postgres.instants import EPOCH_2000, MICROSECOND, TIMESTAMPTZ_OID, read_in_utc

TERM_SPACE = 1 << 29
"""The number of dimensions of a memory's term list: one a 29-bit term key."""

_UUID_OID, _UUID_ARRAY_OID = 2950, 2951
_TEXT_OID, _TEXT_ARRAY_OID = 25, 1009
_TIMESTAMPTZ_ARRAY_OID = 1185
# PostgreSQL's array_send: dimensions, has nulls, type of the elements, length, lower bound; then length and bytes each.
_ARRAY_HEADER = Struct(">iiIii")
_LENGTH = Struct(">i")
_NULL = _LENGTH.pack(-1)
_VECTOR_HEADER = Struct(">Hh")


@dataclass(frozen=True, slots=True)
class Uuids:
    """A uuid[]: 16 raw bytes an entry."""

    values: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Floats:
    """A float4[]."""

    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SmallInts:
    """An int2[]."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Ints:
    """An int4[]."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class BigInts:
    """An int8[]."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Doubles:
    """A float8[]."""

    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Texts:
    """A text[]; psycopg would send a list of strings as one text with every quote in it escaped."""

    values: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Instants:
    """A timestamptz[]."""

    values: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector[]."""

    values: Sequence[Embedding | None]


@dataclass(frozen=True, slots=True)
class TermLists:
    """A sparsevec[] of term frequencies."""

    values: Sequence[TermVector]


# Their arrays' oids, their own, how numpy calls them, and one of them after its length.
_NUMBERS = (
    (Floats, 1021, 700, ">f4", Struct(">if")),
    (SmallInts, 1005, 21, ">i2", Struct(">ih")),
    (Ints, 1007, 23, ">i4", Struct(">ii")),
    (BigInts, 1016, 20, ">i8", Struct(">iq")),
    (Doubles, 1022, 701, ">f8", Struct(">id")),
)


class _UuidsDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: Uuids) -> bytes:
        return _array(obj.values, _UUID_OID, "V16")


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT_ARRAY_OID

    def dump(self, obj: Texts) -> bytes:
        return _entries(_TEXT_OID, [None if one is None else one.encode() for one in obj.values])


class _InstantsDumper(Dumper):
    format = Format.BINARY
    oid = _TIMESTAMPTZ_ARRAY_OID

    def dump(self, obj: Instants) -> bytes:
        since_2000_us = [(one - EPOCH_2000) // MICROSECOND for one in obj.values]
        return _array(np.array(since_2000_us, np.int64), TIMESTAMPTZ_OID, ">i8")


def _numbers_dumper(array_oid: int, element_oid: int, kind: str, entry: Struct) -> type[Dumper]:
    """Return what sends numbers as one array; psycopg would look at each for the type that it fits."""
    size = entry.size - _LENGTH.size

    class NumbersDumper(Dumper):
        format = Format.BINARY
        oid = array_oid

        def dump(self, obj: Floats | SmallInts | Ints | BigInts | Doubles) -> bytes:
            if len(obj.values) == 1:  # a single memory brings five such columns, and numpy takes five times as long
                return _ARRAY_HEADER.pack(1, 0, element_oid, 1, 1) + entry.pack(size, obj.values[0])
            return _array(np.asarray(obj.values, kind), element_oid, kind)

    return NumbersDumper


def _json(text: str | bytes) -> object:
    """Return a JSON value; most metadata is empty, and a parser would take a fifth of the time of its row."""
    return {} if text == b"{}" else json.loads(text)


async def register_types(connection: AsyncConnection[Any]) -> None:
    """Teach `connection` our columns, and vector, halfvec, sparsevec and bit where the database has them."""
    set_json_loads(_json, connection)
    read_in_utc(connection)
    connection.adapters.register_dumper(Uuids, _UuidsDumper)
    for numbers, array_oid, element_oid, kind, entry in _NUMBERS:
        connection.adapters.register_dumper(numbers, _numbers_dumper(array_oid, element_oid, kind, entry))
    connection.adapters.register_dumper(Texts, _TextsDumper)
    connection.adapters.register_dumper(Instants, _InstantsDumper)
    cursor = await connection.execute(EXTENSION_SCHEMA)
    found = await cursor.fetchone()
    if found is not None:
        async with connection.transaction():
            schema = sql.Identifier(str(found[0]))
            await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(schema), prepare=False)
            await _register_extension_types(connection)


async def _register_extension_types(connection: AsyncConnection[Any]) -> None:
    vector = await TypeInfo.fetch(connection, "vector")
    sparsevec = await TypeInfo.fetch(connection, "sparsevec")
    if vector is None or sparsevec is None:
        raise ConfigurationError(
            "pgvector is in this database, but the login may not see its types or it is older than 0.7; run"
            " `openmemory migrate`"
        )
    await register_vector_async(connection)
    connection.adapters.register_dumper(Vectors, _vectors_dumper(vector))
    connection.adapters.register_dumper(TermLists, _term_lists_dumper(sparsevec))


def _vectors_dumper(info: TypeInfo) -> type[Dumper]:
    class VectorsDumper(Dumper):
        format = Format.BINARY
        oid = info.array_oid

        def dump(self, obj: Vectors) -> bytes:
            return _entries(info.oid, [None if one is None else _vector(one) for one in obj.values])

    return VectorsDumper


def _term_lists_dumper(info: TypeInfo) -> type[Dumper]:
    class TermListsDumper(Dumper):
        format = Format.BINARY
        oid = info.array_oid

        def dump(self, obj: TermLists) -> bytes:
            return _entries(info.oid, [sparsevec_bytes(one) for one in obj.values])

    return TermListsDumper


def _vector(values: Embedding) -> bytes:
    """Return a vector as pgvector receives it: int2 dimensions, int2 unused, the float4s."""
    return _VECTOR_HEADER.pack(len(values), 0) + values.astype(">f4").tobytes()


def sparsevec_bytes(terms: TermVector) -> bytes:
    """Return a sparsevec as pgvector receives it: int4 dimensions, count, unused, the int4 indices, the float4s."""
    count = len(terms.keys)
    return _sparsevec(count).pack(TERM_SPACE, count, 0, *terms.keys, *terms.frequencies)


@cache
def _sparsevec(count: int) -> Struct:
    return Struct(f">iii{count}i{count}f")


def sparsevec_text(terms: TermVector) -> str:
    """Return a sparsevec as pgvector reads it from text, where indices count from 1 and not from 0 as in binary."""
    entries = ",".join(f"{key + 1}:{count}" for key, count in zip(terms.keys, terms.frequencies, strict=True))
    return f"{{{entries}}}/{TERM_SPACE}"


def _entries(element_oid: int, values: Sequence[bytes | None]) -> bytes:
    parts = [_ARRAY_HEADER.pack(1, int(None in values), element_oid, len(values), 1)]
    for value in values:
        parts += [_NULL] if value is None else [_LENGTH.pack(len(value)), value]
    return b"".join(parts)


def _array(values: npt.NDArray[Any], element_oid: int, kind: str) -> bytes:
    entry = _entry(kind)
    entries = np.empty(len(values), entry)
    entries["length"] = entry["value"].itemsize
    entries["value"] = values
    return _ARRAY_HEADER.pack(1, 0, element_oid, len(values), 1) + entries.tobytes()


@cache
def _entry(kind: str) -> np.dtype[np.void]:
    return np.dtype([("length", ">i4"), ("value", kind)])
