"""What is in an old database, and what became of it, as the exact texts that PostgreSQL writes.

A float is written with as many digits as tell it apart from every other; numbers of vectors are read as bytes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row

from tests.upgrade.wild.databases import TABLES, Column, OldDatabase
from tests.upgrade.wild.values import Value

Row = Mapping[str, Any]
KEPT = "openmemory_old_public"


@dataclass(frozen=True, slots=True)
class Said:
    """A value of JSON that should say an old value: as JSON, and a string of JSON as what it says."""

    json: str
    text: str | None


@dataclass(frozen=True, slots=True)
class NewRow:
    """A new row under the names of the old columns, and what its metadata note of the old one."""

    row: Row
    noted: Mapping[str, Said]
    columns: Mapping[str, Said]


@dataclass(frozen=True, slots=True)
class Aside:
    """An entry of one of the quarantines; `value` is a vector's."""

    source: str
    id: str
    sector: str | None
    original: Mapping[str, Said]
    value: Value = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an old database."""

    rows: Mapping[str, list[NewRow]]
    aside: list[Aside]


def as_text(connection: Connection) -> None:
    """Have a session write every value exactly, and in one way."""
    connection.execute(
        "SET timezone = 'UTC'; SET extra_float_digits = 1; SET datestyle = 'ISO'; SET bytea_output = hex"
    )


def read_old(connection: Connection, database: OldDatabase) -> dict[str, list[Row]]:
    """Return the rows of the old tables."""
    found: dict[str, list[Row]] = {}
    for what, table in database.tables.items():
        selected = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(_exactly(column), sql.Identifier(column.name)) for column in table.columns
        )
        rows = _rows(connection, sql.SQL("SELECT {} FROM {}").format(selected, sql.Identifier(TABLES[what])))
        sent = [column.name for column in table.columns if column.kind == "vector" and column.type != "bytea"]
        found[what] = [{**row, **{name: _bytes(row[name]) for name in sent}} for row in rows]
    return found


def read_new(connection: Connection) -> Outcome:
    """Return the rows of the new tables and what was set aside."""
    return Outcome(
        {what: _new(connection, query) for what, query in _NEW.items()},
        [*_set_aside(connection), *_vectors_set_aside(connection)],
    )


def says(connection: Connection, table: str, column: str, said: Said) -> str | None:
    """Return what PostgreSQL makes of a noted value in a column of the old table; None where it cannot read it."""
    query = sql.SQL(
        "SELECT (jsonb_populate_record(NULL::{}, jsonb_build_object({}::text, {}::jsonb))).{}::text"
    ).format(sql.Identifier(KEPT, table), sql.Literal(column), sql.Literal(said.json), sql.Identifier(column))
    try:
        ((text,),) = connection.execute(query).fetchall()
    except psycopg.Error:
        return None
    return None if text is None else str(text)


def _exactly(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.kind == "vector":
        return name if column.type == "bytea" else sql.SQL("vector_send({}::vector)").format(name)
    # The type of tags: what it says is compared as JSON.
    as_json = column.kind == "tags" and column.type == "text[]"
    return sql.SQL("to_json({})::text" if as_json else "{}::text").format(name)


def _rows(connection: Connection, query: sql.Composed) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(query))


def _bytes(sent: Value) -> Value:
    """Return upstream's bytes of a vector, of which pgvector sends a head and the most significant byte first."""
    return np.frombuffer(sent[4:], ">f4").astype("<f4").tobytes() if isinstance(sent, bytes) else sent


_NEW: Mapping[str, LiteralString] = {
    "memories": """
        SELECT tenant_id, id::text, user_id, project_id, content, primary_sector, to_json(tags)::text AS tags,
               metadata::text AS meta, salience::text, decay_rate::text AS decay_lambda, version::text,
               created_at::text, updated_at::text, last_seen_at::text, metadata AS noted
          FROM openmemory_memories
    """,
    "vectors": """
        SELECT id::text, sector, vector_send(embedding::vector) AS v, '{}'::jsonb AS noted
          FROM openmemory_vectors
    """,
    "waypoints": """
        SELECT tenant_id, src_id::text, dst_id::text, user_id, weight::text, created_at::text, updated_at::text,
               '{}'::jsonb AS noted
          FROM openmemory_waypoints
    """,
    "users": """
        SELECT tenant_id, user_id, summary, reflection_count::text, created_at::text, updated_at::text,
               '{}'::jsonb AS noted
          FROM openmemory_users
    """,
    "facts": """
        SELECT tenant_id, id::text, user_id, project_id, subject, predicate, object, lower(valid)::text AS valid_from,
               upper(valid)::text AS valid_to, confidence::text, metadata::text, last_updated::text, metadata AS noted
          FROM temporal_facts
    """,
}
_SAID: LiteralString = """
    (SELECT coalesce(jsonb_object_agg(key, jsonb_build_array(value::text, value #>> '{{}}')), '{{}}')
       FROM jsonb_each(CASE WHEN jsonb_typeof({0}) = 'object' THEN {0} ELSE '{{}}' END))
"""
_NOTED = sql.SQL("SELECT given.*, {} AS noted, {} AS columns FROM ({}) AS given")


def _new(connection: Connection, query: LiteralString) -> list[NewRow]:
    noted, columns = (
        sql.SQL(_SAID).format(sql.SQL(place))
        for place in ("noted -> 'openmemory_old'", "noted -> 'openmemory_old' -> 'columns'")
    )
    rows = []
    for row in _rows(connection, _NOTED.format(noted, columns, sql.SQL(query))):
        of_row = {name: _bytes(value) for name, value in row.items() if name not in {"noted", "columns"}}
        rows.append(NewRow(of_row, _said(row["noted"]), _said(row["columns"])))
    return rows


def _said(found: object) -> dict[str, Said]:
    return {name: Said(*each) for name, each in found.items()} if isinstance(found, dict) else {}


def _set_aside(connection: Connection) -> Iterator[Aside]:
    query = sql.SQL("SELECT source, id, sector, {} AS original FROM openmemory_row_quarantine").format(
        sql.SQL(_SAID).format(sql.SQL("original"))
    )
    for row in _rows(connection, query):
        yield Aside(str(row["source"]), str(row["id"]), row["sector"], _said(row["original"]))


def _vectors_set_aside(connection: Connection) -> Iterator[Aside]:
    """Yield the entries of vectors; what the columns of their quarantine say is as good as the row's own words."""
    columns = "coalesce(original, '{}') || jsonb_build_object('user_id', user_id, 'dim', dim)"
    query = sql.SQL("SELECT id::text, sector, v, {} AS original FROM openmemory_vector_quarantine").format(
        sql.SQL(_SAID).format(sql.SQL(columns))
    )
    for row in _rows(connection, query):
        yield Aside("values", str(row["id"]), row["sector"], _said(row["original"]), row["v"])
