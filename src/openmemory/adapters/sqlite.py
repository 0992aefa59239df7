"""Upstream's default store: a SQLite file, read and never written."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from openmemory.adapters.sqlite_values import METADATA, Value, in_type, is_replaced, noted
from openmemory.core.synthetic import Sample, samples
from openmemory.errors import ConfigurationError

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

_KEYS = {"memories": ("id",), "vectors": ("id", "sector"), "temporal_facts": ("id",)}
"""The columns that no row here may lack; SQLite allows null in a key."""

# What upstream's older and newer versions call the table of vectors.
_VECTORS = ("vectors", "openmemory_vectors")
# Upstream's ids are UUIDs, which may be written in upper case and without hyphens; any other text is an id as it is.
_SAME_ID = """
    CASE WHEN length(replace(id, '-', '')) = 32 AND NOT replace(lower(id), '-', '') GLOB '*[^0-9a-f]*'
         THEN replace(lower(id), '-', '') ELSE id END
"""
# Of each sector up to 16, whatever the size of the file; garbage of any length is passed over by its length.
_SOME_VECTORS = """
    SELECT v FROM {0} WHERE rowid IN (
        SELECT row FROM (
            SELECT rowid AS row, row_number() OVER (PARTITION BY sector ORDER BY id) AS place FROM {0}
             WHERE typeof(v) = 'blob' AND length(v) BETWEEN 4 AND 65536
        ) WHERE place <= 16
    ) LIMIT 256
"""


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file that holds upstream's tables."""

    path: Path
    rows: dict[str, int]
    """The count of rows of each table that comes across."""
    left_out: tuple[str, ...]
    """The tables that do not come across."""
    dimensions: dict[int, int]
    """The count of vectors of each dimension, the most frequent first."""
    vectors: str
    """The name of the table of vectors."""
    without_key: dict[str, int]
    """The count of rows of each table that lack a part of their key and are not read."""
    sampled: dict[int, Sample]
    """What some of the vectors hold, by their dimension."""

    def read(self, table: str, replaced: Counter[str] | None = None) -> Iterator[tuple[Value, ...]]:
        """Yield the rows of a table with the columns of `TABLES`, null for one that this file lacks.

        A value that its column's type cannot hold is replaced. The old one is noted in the row's metadata; where a
        table has none, `replaced` counts it under the table's name.
        """
        with closing(_opened(self.path)) as connection:
            called = self.vectors if table == "vectors" else table
            there = _columns(connection, called)
            named = ", ".join(name if name in there else f"NULL AS {name}" for name in TABLES[table])
            for row in connection.execute(f"SELECT {named} FROM {called} WHERE NOT ({_without_key(table)})"):
                old = dict(zip(TABLES[table], row, strict=True))
                new = {name: in_type(name, value) for name, value in old.items()}
                lost = {name: value for name, value in old.items() if is_replaced(value, new[name])}
                if lost and (metadata := METADATA.get(table)):
                    new[metadata] = noted(new[metadata], lost)
                elif lost and replaced is not None:
                    replaced[table] += 1
                yield tuple(new.values())


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
            without_key = {
                table: int(connection.execute(f"SELECT count(*) FROM {name} WHERE {_without_key(table)}").fetchone()[0])
                for table, name in called.items()
                if name in tables
            }
            _refuse_doubles(path, connection, {"memories": ("memories", "''"), "vectors": (vectors, "sector")})
            sampled = samples(value for (value,) in connection.execute(_SOME_VECTORS.format(vectors)))
            lengths: Sequence[tuple[int | None]] = connection.execute(f"SELECT length(v) FROM {vectors}").fetchall()
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be read as a SQLite database: {error}") from error
    sizes = Counter(length // 4 for (length,) in lengths if length and length % 4 == 0)
    left_out = tuple(sorted(set(tables) - set(called.values()) - {"sqlite_sequence"}))
    lacking = {table: count for table, count in without_key.items() if count}
    return OldFile(path, rows, left_out, dict(sizes.most_common()), vectors, lacking, sampled)


def _without_key(table: str) -> str:
    return " OR ".join(f"{name} IS NULL" for name in _KEYS.get(table, ())) or "false"


def _refuse_doubles(path: Path, connection: sqlite3.Connection, keys: Mapping[str, tuple[str, str]]) -> None:
    """Raise ConfigurationError if two rows would become one here: the owner must say which one stays."""
    for what, (table, and_by) in keys.items():
        groups = f"SELECT min(id) AS id, count(*) AS rows FROM {table} GROUP BY {_SAME_ID}, {and_by}"
        doubles = f"SELECT count(*), min(id) FROM ({groups}) WHERE rows > 1 AND id IS NOT NULL"
        count, example = connection.execute(doubles).fetchone()
        if count:
            raise ConfigurationError(
                f"{path}: {count:,} ids of {what} are there more than once, such as {example}: the same, if in another"
                " case or without hyphens. Nothing was changed. Rename or delete all but one of each in a copy of the"
                " file, and import that"
            )


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file")
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    # SQLite stores any bytes as text: those that are no UTF-8 are read as lone surrogates, from which they can be told.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
