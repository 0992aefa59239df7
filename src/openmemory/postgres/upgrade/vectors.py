"""Step 003 from Python: little-endian bytes into pgvector's vectors, bit for bit, with the terms of their texts.

Rows pass through here as PostgreSQL's binary COPY sends them: what does not change is never decoded.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

import numpy as np
import numpy.typing as npt
from psycopg import Connection
from psycopg.copy import QueuedLibpqWriter

from openmemory.core import text
from openmemory.postgres.adaptation import sparsevec_bytes
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress
from openmemory.postgres.upgrade.questions import Questions
from openmemory.postgres.upgrade.rows import Blocks, OnProgress, block_ranges, count_rows
from openmemory.postgres.vectors import term_cap, traits

STEP = "003_convert_vectors_to_pgvector"

_CHUNK_BYTES = 4 << 20
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = _SIGNATURE + bytes(8)
_TRAILER = b"\xff\xff"
_LENGTH = Struct(">i")
_NULL = _LENGTH.pack(-1)
# What a search row has of its memory, in the order of COPY; old memories have no session and no speaker. Content and
# value come next, then what only the quarantine gets.
_PASSED, _ASIDE = 9, 5
_KEYS = _LENGTH.pack(8) + bytes(8) + _LENGTH.pack(4) + bytes(4)
_COLUMNS = Struct(">h").pack(_PASSED + 5)
_VECTOR = Struct(">Hh")
_TEXTS_KEPT = 256

_OLD = statement("upgrade/vectors.old", type(None))
_WITHOUT = statement("upgrade/vectors.without", type(None))
_LIST_WITHOUT = statement("upgrade/vectors.list_without", type(None))
_NEW = statement("upgrade/vectors.new", type(None))
_SET_ASIDE = statement("upgrade/vectors.set_aside", type(None))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it was read: `passed` are the fields that go on as they are; without content there is no memory."""

    passed: bytes
    id: bytes
    content: bytes | None
    value: bytes | None
    tenant: bytes | None
    rest: bytes
    """Fields still to be read: old id, sector, user, dimension and, without a memory, the old row."""

    @property
    def origin(self) -> tuple[bytes | None, ...]:
        """Return what the quarantine gets beside the value."""
        return self.tenant, *_fields(self.rest, 0, _ASIDE)[0]


@dataclass(frozen=True, slots=True)
class _Aside:
    origin: tuple[bytes | None, ...]
    value: bytes | None
    reason: str


def convert_vectors(
    connection: Connection, reader: Connection, layout: Layout, source: str, on_progress: OnProgress
) -> None:
    """Fill the new vectors from where the record says; `source` is "bytes", "vector" or "none".

    `reader` is a second connection: rows are read on it while they are written on the first.
    """
    reader.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off")
    codec = _Codec(layout.plan.dimension, source, layout.names.vector_type)
    total = count_rows(connection, layout, "vectors")
    for blocks in block_ranges(connection, layout, "vectors", total):
        on_progress(Progress(STEP, "vectors", blocks.rows_done, total))
        with connection.transaction():
            _convert(connection, reader, layout, codec, _vectors_of(layout, blocks, source))
            record.write(connection, layout, {"vectors_block": blocks.end})
    if "without_vector" not in record.read(connection, layout.names):
        on_progress(Progress(STEP, "memories without a vector", total, total))
        reader.execute("RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_seqscan")
        with connection.transaction():
            connection.execute(layout.render("SELECT {staging}.note_vectors()").encode())
            none = _add_without_vector(connection, reader, layout, codec)
            record.write(connection, layout, {"without_vector": none})
    on_progress(Progress(STEP, "vectors", total, total))


def _vectors_of(layout: Layout, blocks: Blocks, source: str) -> str:
    value = {"bytes": "v.v", "vector": "vector_send(v.v::vector)", "none": "NULL::bytea"}[source]
    return layout.render(_OLD.template, {"value": value, "first": str(blocks.first), "end": str(blocks.end)})


def _convert(connection: Connection, reader: Connection, layout: Layout, codec: "_Codec", query: str) -> None:
    """Convert what a query reads, and set aside what cannot be."""
    aside: list[_Aside] = []
    for refused in _copied(connection, reader, layout, codec, query):
        aside += refused
    _set_aside(connection, layout, aside)


def _add_without_vector(connection: Connection, reader: Connection, layout: Layout, codec: "_Codec") -> int:
    """Give memories without a vector a search row, list them with those to repair, and return how many there are."""
    for _ in _copied(connection, reader, layout, codec, layout.render(_WITHOUT.template)):
        pass
    return Questions(connection, layout).run(_LIST_WITHOUT)


def _copied(
    connection: Connection, reader: Connection, layout: Layout, codec: "_Codec", query: str
) -> Iterator[list[_Aside]]:
    """Copy what a query reads, converted, and yield what cannot be, chunk by chunk."""
    cursor = connection.cursor()
    # Writing from a thread of its own keeps both backends busy: otherwise the reader rests while rows are sent.
    writer = QueuedLibpqWriter(cursor)
    target = cursor.copy(layout.render(_NEW.template).encode(), writer=writer)
    with reader.cursor().copy(query.encode()) as given, target as taken:
        taken.write(_HEADER)
        for chunk in _chunks(given):
            written, refused = codec.converted(chunk)
            taken.write(written)
            yield refused
        taken.write(_TRAILER)


def _set_aside(connection: Connection, layout: Layout, aside: Sequence[_Aside]) -> None:
    query = layout.render_with_params(_SET_ASIDE.template)
    with connection.cursor() as cursor:
        cursor.executemany(
            query,
            [(*(None if field is None else field.decode() for field in one.origin), one.value, one.reason)
             for one in aside],
        )  # fmt: skip


def _chunks(given: Iterable[bytes | bytearray | memoryview]) -> Iterator[list[_Row]]:
    """Yield the rows of a binary COPY, as many at once as have some MB of texts and vectors between them.

    PostgreSQL sends one a message, the header before the first.
    """
    rows: list[_Row] = []
    size = 0
    for message in given:
        data = bytes(message).removeprefix(_HEADER)
        if data[:2] == _TRAILER or not data:
            continue
        of_memory, begin = _fields(data, 2, _PASSED)
        (content, value), end = _fields(data, begin, 2)
        rows.append(_Row(data[2:begin], of_memory[1] or b"", content, value, of_memory[0], data[end:]))
        size += len(data)
        if size >= _CHUNK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _fields(data: bytes, at: int, count: int) -> tuple[list[bytes | None], int]:
    """Return so many fields of a row from a place on, and the place behind them."""
    fields: list[bytes | None] = []
    for _ in range(count):
        length = _LENGTH.unpack_from(data, at)[0]
        at += 4
        if length < 0:
            fields.append(None)
        else:
            fields.append(data[at : at + length])
            at += length
    return fields, at


class _Codec:
    """Turns chunks of rows as they are read into rows as they are written."""

    def __init__(self, dimension: int, source: str, vector_type: str) -> None:
        self.dimension = dimension
        self._bytes, self._skipped = dimension * 4, 4 if source == "vector" else 0
        self._from = np.dtype(">f4" if source == "vector" else "<f4")
        self._to = np.dtype(">f2" if vector_type == "halfvec" else ">f4")
        self._header = _LENGTH.pack(4 + dimension * self._to.itemsize) + _VECTOR.pack(dimension, 0)
        self._term_cap = term_cap(dimension)
        self._texts: dict[bytes, bytes] = {}

    def converted(self, rows: Sequence[_Row]) -> tuple[bytes, list[_Aside]]:
        """Return the bytes of COPY for the rows that have a memory, and what has to be set aside."""
        values = [None if row.value is None else row.value[self._skipped :] for row in rows]
        right = [place for place, value in enumerate(values) if value is not None and len(value) == self._bytes]
        embeddings, finite = self._embeddings([values[place] or b"" for place in right])
        good = dict(zip((place for place, fine in zip(right, finite, strict=True) if fine), embeddings, strict=True))
        out: list[bytes | memoryview] = []
        aside: list[_Aside] = []
        for place, row in enumerate(rows):
            if row.content is None or place not in good:
                value = values[place]
                aside.append(_Aside(row.origin, self._as_it_was(value), self._reason(row, value)))
            if row.content is not None:
                out += (_COLUMNS, row.passed, _KEYS, self._text(row))
                out += (self._header, good[place]) if place in good else (_NULL,)
        return b"".join(out), aside

    def _embeddings(self, values: Sequence[bytes]) -> tuple[list[memoryview], npt.NDArray[np.bool_]]:
        """Return the finite ones of `values` as pgvector receives them, and which those are."""
        floats = np.frombuffer(b"".join(values), self._from).reshape(len(values), self.dimension)
        if self._to.itemsize == 4:
            # Between byte orders nothing but bytes is swapped: not a bit of a number changes, whatever it is.
            bits = floats.view(np.uint32)
            sent = bits if self._from == self._to else bits.byteswap()
        else:
            with np.errstate(over="ignore"):
                sent = floats.astype(self._to)
        finite = np.asarray(np.isfinite(floats if self._to.itemsize == 4 else sent).all(axis=1))
        # Views, since each copy of all these bytes costs as much as swapping them.
        width, together = self.dimension * self._to.itemsize, sent.reshape(-1).view(np.uint8).data
        return [together[row * width : (row + 1) * width] for row in np.flatnonzero(finite).tolist()], finite

    def _reason(self, row: _Row, value: bytes | None) -> str:
        if row.content is None:
            return "no memory has this id"
        if value is None:
            return "no value"
        if len(value) % 4:
            return "length is not a multiple of 4 bytes"
        if len(value) != self._bytes:
            return f"{len(value) // 4} dimensions, the database has {self.dimension}"
        floats = np.frombuffer(value, self._from)
        if np.isnan(floats).any():
            return "holds NaN"
        return "holds infinity" if np.isinf(floats).any() else "holds a number too large for halfvec"

    def _as_it_was(self, value: bytes | None) -> bytes | None:
        """Return a value as upstream's bytes, whichever type it was read from."""
        return (
            value if value is None or self._from == "<f4" else np.frombuffer(value, self._from).astype("<f4").tobytes()
        )

    def _text(self, row: _Row) -> bytes:
        """Return traits and terms of a content; the rows of one memory come one after the other, mostly."""
        known = self._texts.get(row.id)
        if known is None and row.content is not None:
            said = row.content.decode()
            terms = text.term_vector(said, self._term_cap)
            packed = sparsevec_bytes(terms)
            known = _LENGTH.pack(4) + _LENGTH.pack(traits(terms, text.marks(said))) + _LENGTH.pack(len(packed)) + packed
            if len(self._texts) >= _TEXTS_KEPT:
                self._texts.clear()
            self._texts[row.id] = known
        return known or b""
