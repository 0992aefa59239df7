"""Upstream's default store: a SQLite file, read and never written."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from openmemory.errors import ConfigurationError

Value = None | int | float | str | bytes

TABLES = {
    "memories": (
        *("id", "user_id", "segment", "content", "simhash", "primary_sector", "tags", "meta", "created_at"),
        *("updated_at", "last_seen_at", "salience", "decay_lambda", "version", "feedback_score"),
    ),
    "vectors": ("id", "sector", "user_id", "v", "dim"),
    "waypoints": ("src_id", "dst_id", "user_id", "weight", "created_at", "updated_at"),
    "users": ("user_id", "summary", "reflection_count", "created_at", "updated_at"),
    "temporal_facts": (
        *("id", "subject", "predicate", "object", "valid_from", "valid_to", "confidence", "last_updated", "metadata"),
    ),
}
"""The tables that come across, with their columns; a file of an older version may lack some of either."""

# What upstream's older and newer versions call the table of vectors.
_VECTORS = ("vectors", "openmemory_vectors")
_WHOLE = {"segment", "created_at", "updated_at", "last_seen_at", "version", "reflection_count", "dim", "valid_from"}
_WHOLE |= {"valid_to", "last_updated"}
_REAL = {"salience", "decay_lambda", "feedback_score", "weight", "confidence"}


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file that holds upstream's tables."""

    path: Path
    rows: dict[str, int]
    """Rows of each table that is there and comes across."""
    left_out: tuple[str, ...]
    """Tables that do not."""
    dimensions: dict[int, int]
    """Vectors by their dimensions, the most frequent first."""
    vectors: str
    """What the table of vectors is called."""

    def read(self, table: str) -> Iterator[tuple[Value, ...]]:
        """Yield the rows of a table with the columns of `TABLES`, null for one that this file lacks."""
        with closing(_opened(self.path)) as connection:
            called = self.vectors if table == "vectors" else table
            there = _columns(connection, called)
            named = ", ".join(name if name in there else f"NULL AS {name}" for name in TABLES[table])
            for row in connection.execute(f"SELECT {named} FROM {called}"):
                yield tuple(_value(name, value) for name, value in zip(TABLES[table], row, strict=True))


def open_file(path: Path) -> OldFile:
    """Return what a file holds; raises ConfigurationError if it is none of upstream's."""
    try:
        with closing(_opened(path)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = [str(name) for (name,) in found]
            vectors = next((name for name in _VECTORS if name in tables), None)
            if "memories" not in tables or vectors is None:
                raise ConfigurationError(f"{path} is no OpenMemory database: it has no tables memories and vectors")
            called = {table: vectors if table == "vectors" else table for table in TABLES}
            rows = {
                table: int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])
                for table, name in called.items()
                if name in tables
            }
            lengths: Sequence[tuple[int | None]] = connection.execute(f"SELECT length(v) FROM {vectors}").fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be read as a SQLite database: {error}") from error
    sizes = Counter(length // 4 for (length,) in lengths if length and length % 4 == 0)
    left_out = tuple(sorted(set(tables) - set(called.values()) - {"sqlite_sequence"}))
    return OldFile(path, rows, left_out, dict(sizes.most_common()), vectors)


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file")
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    # SQLite keeps what it was given: text that is no UTF-8 is read all the same.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}


def _value(name: str, value: Value) -> Value:
    """Return a value in its column's type, which SQLite does not insist on; null for what cannot be one."""
    if value is None:
        return None
    if name == "v":
        return value if isinstance(value, bytes) else None
    if name in _WHOLE or name in _REAL:
        try:
            return _whole(value) if name in _WHOLE else float(value)
        except (ValueError, OverflowError):
            return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "\ufffd")  # which PostgreSQL cannot store


def _whole(value: int | float | str | bytes) -> int:
    return value if isinstance(value, int) else int(float(value))
