"""What was found in an old database, and what it will take to lift it: plain values and estimates, no SQL."""

from dataclasses import dataclass

from openmemory.core.synthetic import Sample
from openmemory.postgres.event_triggers import EventTrigger

_ROWS_PER_S = 20_000
_VECTORS_PER_S, _AT_DIMENSIONS = 8_000, 1536
# Of texts that are longer than those of the rows above: what is said in other scripts than Latin goes slower.
_SAID_BYTES_PER_S = 6_000_000
_FLOAT_BYTES = {"vector": 4, "halfvec": 2}
# By rule of thumb: keys, names and terms of a vector's row beside its numbers and code, and the same in its indexes; a
# row of another table with its indexes; long texts in their pages; tables and indexes of no rows.
_VECTOR_ROW_BYTES, _VECTOR_ENTRY_BYTES, _OTHER_ROW_BYTES, _TOASTED, _EMPTY_BYTES = 280, 320, 600, 1.07, 512 << 10
_SHORT_TEXT_BYTES = 200  # which the row of a memory has room for
# PostgreSQL's own: a page and its room, the largest row without a long value apart from it, the chunks of such a value
# with head and entry in their index, and the reference to it.
_PAGE_BYTES, _PAGE_ROOM, _ROW_AT_MOST, _REFERENCE_BYTES = 8192, 8168, 2032, 18
_CHUNK_BYTES, _CHUNK_HEAD_BYTES, _CHUNK_ENTRY_BYTES, _POINTER_BYTES = 1996, 40, 24, 4
_VALUES_PAGED = 64

_SHOWS = "goes on showing the old rows, and no new ones; --drop-bytea is refused until the old table is out of it"
_ANEW = "drop it and create it again afterwards, on the new one"
_BECOMES = {
    "view": "reads the old table; make it anew on the new one",
    "materialized view": "reads the old table; make it anew on the new one",
    "function": f"keeps to the old table, and may fail where it takes or returns its rows; {_ANEW}",
    "procedure": f"keeps to the old table, and may fail where it takes its rows; {_ANEW}",
    "column": "keeps the old table's type of rows; give it another type, or drop it",
    "parent": f"{_SHOWS} (ALTER TABLE … NO INHERIT …)",
    "partitioned table": f"{_SHOWS} (ALTER TABLE … DETACH PARTITION …)",
    "foreign key": "follows the old table, and refuses rows that refer to newer ones; drop it, or point it at the new",
    "grant": "stays on the old table; the new one has rows of tenants, and grants of its own",
    "policy": "stays on the old table; the new one has the one policy that keeps tenants apart",
    "rule": "stays on the old table, which is not written any more",
    "statistics": "stay on the old table",
    "trigger": "stays on the old table, which is not written any more",
    "publication": "publishes the old table, which is not written any more; add the new one",
    "publication of all tables": "publishes the new tables while they are filled, too: a subscriber that lacks them"
    " stops, and its slot then keeps all that is written. Drop the subscription for the upgrade, and make it anew",
    "publication of the schema": "publishes the new tables from the exchange on; a subscriber that lacks their columns"
    " stops there",
    "subscription": "stops at the first write that it brings during the upgrade, and its publisher then keeps all that"
    " is written; it does not feed the new table. Let it catch up with writers that are stopped, and drop it first",
}


@dataclass(frozen=True, slots=True)
class Session:
    """A session of another client, of whichever use it makes of the old tables."""

    pid: int
    application: str
    address: str
    user: str
    state: str


@dataclass(frozen=True, slots=True)
class Dependant:
    """What an owner has made of one of the tables: a view, a foreign key, a grant or the like."""

    kind: str
    name: str
    of_table: str

    @property
    def becomes(self) -> str:
        """What becomes of it when the table is put aside."""
        return _BECOMES.get(self.kind, f"keeps to the old table; {_ANEW}")


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A column without a place in the new table, and the rows with a value in it.

    Their metadata gets the value if it `is_noted`; upstream made it of the rest, and can again, if it `is_derived`; and
    PostgreSQL does, by an `expression`, "" where it does not.
    """

    table: str
    column: str
    rows: int
    is_noted: bool
    is_derived: bool
    expression: str = ""

    @property
    def becomes(self) -> str:
        """What becomes of the values."""
        if self.expression:
            return (
                "computed, and not carried over: the old table keeps it until --drop-bytea. On the new one it can be"
                f" made of what is there: {self.expression}"
            )
        return fate(is_noted=self.is_noted)


def fate(*, is_noted: bool) -> str:
    """Return what becomes of the values of a column without a place in the new table."""
    if is_noted:
        return "goes into each row's metadata, under openmemory_old.columns"
    return "stays in the old table, and goes with it at --drop-bytea"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the new tables will take, by rule of thumb."""

    bytes: int
    """New tables with their own indexes; the old ones stay beside them until `--drop-bytea`."""
    index_bytes: int
    """The indexes over all tenants that OM_PGVECTOR_INDEX_TYPE asks for, beside that."""
    wal_bytes: int
    """Written to the log in all; the server recycles it unless an archive or a replica keeps it."""
    seconds: float
    text_seconds: float
    """How many of them go by the length of the texts, at least."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `look` found."""

    shape: str
    schema: str
    server_version: str
    extension_installed: str | None
    extension_available: str | None
    rows: dict[str, int]
    """Rows of each old table that is there, counted."""
    bytes: int
    """Disk of the old tables with indexes and long values."""
    text_bytes: int
    """What the contents, tags and metadata of the old memories take, compressed as they are."""
    said_bytes: int
    """How long the contents of the old memories are, together."""
    dimensions: dict[int, int]
    """Old vectors by their dimensions, the most frequent first; those of another length are in `set_aside`."""
    dimension: int
    """The database's own: what its upgrade began with, else the most frequent, else the settings'."""
    set_aside: dict[str, int]
    """Rows that cannot come across as they are, by what and why; counted without reading each vector's bytes."""
    examples: dict[str, str]
    """The id of one of the rows that are set aside, by what and why, where it is known."""
    empty: int
    """Old vectors of no bytes at all."""
    checked_finite: bool
    """Whether NaN and infinity were looked for; in a large table they are found while it is converted."""
    left_alone: tuple[str, ...]
    upgrade: dict[str, str]
    """The record of an upgrade that was begun, {} where none was."""
    writers: tuple[Session, ...]
    """Sessions that write to the old tables, or are likely an old server's by what they last did."""
    doubtful: tuple[Session, ...]
    """Sessions that may be an old server's, or not."""
    hidden_sessions: int
    """Other sessions whose statements this login may not see."""
    others: tuple[Session, ...]
    """Other clients' sessions, whatever they do."""
    written: int
    """How many rows of the old tables were ever written, by PostgreSQL's statistics."""
    twice: dict[str, tuple[int, str]]
    """Keys that more than one row has, by table: how many, and the id of one."""
    taken: tuple[str, ...]
    """What else in the schema has a name that the new tables need; asked before an upgrade is begun."""
    lookalikes: dict[str, tuple[str, ...]]
    """For memories and vectors where there is no such table: tables of other names that look like it."""
    dependants: tuple[Dependant, ...]
    """What an owner has made of the old tables, and stays with them."""
    event_triggers: tuple[EventTrigger, ...]
    """Event triggers that fire on what an upgrade does, and whose functions look for names in its search path."""
    has_tenants: bool
    """Whether old rows may name tenants of their own, to which they go."""
    unfit_tenants: tuple[str, ...]
    """Tenants of old rows whose names no request may bring; their rows would share a tenant."""
    has_namesake: bool
    """Whether a user who becomes a tenant has the name of the one that gets the rows of no user."""
    joined_users: tuple[str, ...]
    """Tenants of old rows that would also get the rows of a user of their name who is none of theirs."""
    joins_rest: bool
    """Whether the tenant that gets the rows of none is one that other rows name as their own."""
    read_only: str
    """Why nothing can be written here, and what to do about it; empty where something can."""
    tablespace: str
    """Where the old vectors lie, and the new tables will; empty where that is the database's own."""
    forbidden_tablespace: str
    """Where the old vectors lie, and the new tables cannot, for this login may make nothing there."""
    unmapped: tuple[Unmapped, ...]
    """Columns of the old tables that have no place of their own in the new ones, and hold something."""
    sampled: dict[int, Sample]
    """What some of the old vectors hold, by their dimension."""

    def estimate(self, vector_type: str, dimension: int, index_bytes: int = 0) -> Estimate:
        """Return what the new tables will take, and the indexes over all tenants that take `index_bytes`."""
        vectors, memories = self.rows.get("vectors", 0), sum(self.rows.values()) - self.rows.get("vectors", 0)
        short = self.rows.get("memories", 0) * _SHORT_TEXT_BYTES
        texts, said = max(0, self.text_bytes - short), max(0, self.said_bytes - short)
        of_vectors = vectors * _vector_bytes(dimension * _FLOAT_BYTES[vector_type], dimension)
        size = int(of_vectors + memories * _OTHER_ROW_BYTES + texts * _TOASTED) + _EMPTY_BYTES
        pace = min(_ROWS_PER_S, _VECTORS_PER_S * _AT_DIMENSIONS / dimension)
        written = size + int(index_bytes * 1.1)
        of_rows, of_texts = vectors / pace + memories / _ROWS_PER_S, said / _SAID_BYTES_PER_S
        return Estimate(size, index_bytes, written, of_rows + of_texts, of_texts)

    def kept_back(self, dimension: int) -> dict[str, int]:
        """Return what will be set aside when the database's vectors have `dimension`."""
        other = {
            f"vectors: {size} dimensions, the database has {dimension}": count
            for size, count in {**self.dimensions, 0: self.empty}.items()
            if size != dimension
        }
        return {what: count for what, count in {**self.set_aside, **other}.items() if count}


def _vector_bytes(numbers: int, dimension: int) -> float:
    """Return what a vector's row takes whose value is so many bytes of numbers, with its entries in the indexes.

    The code has a bit of each number, and the tenant index holds it once more.
    """
    row, code = _VECTOR_ROW_BYTES, dimension / 8
    entries = _VECTOR_ENTRY_BYTES + code
    if row + code + numbers <= _ROW_AT_MOST:
        return _paged(row + code + numbers) + entries
    return _paged(row + code + _REFERENCE_BYTES) + _chunked(numbers) + entries


def _paged(row: float) -> float:
    """Return what a row takes of its page: the same as each of those that fit in it."""
    return _PAGE_BYTES / max(1, _PAGE_ROOM // (row + _POINTER_BYTES))


def _chunked(value: int) -> float:
    """Return what a value takes that is kept apart from its row: its chunks go into pages one after the other."""
    full, rest = divmod(value, _CHUNK_BYTES)
    chunks = [_CHUNK_BYTES] * full + [rest] * bool(rest)
    pages = room = 0
    for chunk in chunks * _VALUES_PAGED:
        if chunk + _CHUNK_HEAD_BYTES > room:
            pages, room = pages + 1, _PAGE_ROOM
        room -= chunk + _CHUNK_HEAD_BYTES
    return pages * _PAGE_BYTES / _VALUES_PAGED + len(chunks) * _CHUNK_ENTRY_BYTES
