"""Views that give every known shape of the old tables the same columns, so that one SQL reads them all."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection, sql

from openmemory.postgres.asking import asked
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import kinds
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.places import MAPPED, Columns, noted, placed

# float4send() gives the most significant byte first.
_LITTLE_ENDIAN = (
    "(SELECT string_agg(substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1), '' ORDER BY i)"
    " FROM unnest(embedding::real[]) WITH ORDINALITY AS x (number, i)"
    " CROSS JOIN LATERAL (SELECT float4send(x.number) OFFSET 0) AS sent (b))"
)
# What jsonb may refuse or not keep as it is goes as the text that it is.
_AS_TEXT = {"json", "json[]", "jsonb[]", "record", "record[]"}
_FLOATS = {"real", "double precision"}
_OWN_ID = f"{kinds.by_bytes('id')} AS id"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, and by which expression PostgreSQL computes it, "" where it does not."""

    name: str
    type: str
    expression: str


_COLUMNS = statement("upgrade/sources.columns", _Column)


def create_views(connection: Connection, layout: Layout) -> None:
    """Make the views anew from what the catalogue says of the old tables."""
    with connection.transaction():
        for statement in view_statements(connection, layout):
            connection.execute(statement.encode())


def view_statements(connection: Connection, layout: Layout) -> list[str]:
    """Return the SQL of the views."""
    statements = []
    for what, select in selects(layout, all_columns(connection, layout)).items():
        view = layout.render(f"{{old_{what}}}")
        statements.append(f"DROP VIEW IF EXISTS {view}")
        statements.append(f"CREATE VIEW {view} AS {select}")
    return statements


def all_columns(connection: Connection, layout: Layout) -> dict[str, Columns]:
    """Return the columns of each old table."""
    return {what: columns(connection, layout, table) for what, table in layout.old_tables.items()}


def selects(layout: Layout, found: Mapping[str, Columns]) -> dict[str, str]:
    """Return what reads each old table, of the columns `found`, as every shape has it."""
    listed = {
        "memories": _memories(found["memories"]),
        "vectors": _vectors(found["vectors"], found["memories"].get("id", "uuid")),
        "waypoints": _waypoints(found["waypoints"], found["memories"].get("id", "uuid")),
        "users": _users(found["users"]),
        "facts": _facts(found["facts"]),
    }
    return {
        what: f"SELECT {', '.join(select)} "
        + (layout.render(f"FROM {{old_{what}_table}}") if found[what] else "WHERE false")
        for what, select in listed.items()
    }


def vector_source(columns: Columns) -> str:
    """Return which column holds the vector and how: bytes, vector or none.

    Bytes come first: where upstream's own migration died half way, the column `embedding` beside them holds garbage.
    """
    for name in ("v", "embedding"):
        if columns.get(name) == "bytea":
            return "bytes"
        if is_value(columns.get(name, "")):
            return "vector"
    return "none"


def columns(connection: Connection, layout: Layout, table: str) -> Columns:
    """Return the types of an old table's columns by name, none where there is no such table."""
    what = next(what for what, name in layout.old_tables.items() if name == table)
    return columns_of(connection, what, layout.names.table(table))


def columns_of(connection: Connection, what: str, table: str) -> Columns:
    """Return the types of the columns of `table`, quoted and with its schema; none where there is no such table.

    Those that an owner has computed from others are none of them: they hold nothing of their own.
    """
    found = asked(connection, _COLUMNS, table=table)
    return {column.name: column.type for column in found if not column.expression or column.name in placed(what)}


def computed(connection: Connection, what: str, table: str) -> dict[str, str]:
    """Return the columns without a place that PostgreSQL computes from others, and by which expression."""
    found = asked(connection, _COLUMNS, table=table)
    return {column.name: column.expression for column in found if column.expression and column.name not in placed(what)}


def _memories(columns: Columns) -> list[str]:
    own = ["NULL::uuid AS raw_id", "NULL::text AS id"]
    if columns:
        own = [f"{kinds.as_id('id', columns['id'])} AS raw_id", _OWN_ID]
    return [*_selected(MAPPED["memories"], columns), *own, _other("memories", columns)]


def _vectors(columns: Columns, id_type: str) -> list[str]:
    if not columns:
        nulls = {"raw_id": id_type, "id": "text", "v": "bytea", "value_dim": "int4", "original": "jsonb"}
        return [*_selected(MAPPED["vectors"], columns), *(f"NULL::{kind} AS {name}" for name, kind in nulls.items())]
    column = value(columns)
    # The length of bytes is known without fetching them.
    dim = f"vector_dims({column}::vector)" if vector_source(columns) == "vector" else f"octet_length({column}) / 4"
    own = [f"{raw('id', columns['id'], id_type)} AS raw_id", _OWN_ID, f"{column} AS v", f"{dim} AS value_dim"]
    own.append(_whole({name: kind for name, kind in columns.items() if name not in {"v", "embedding"}}))
    return [*_selected(MAPPED["vectors"], columns), *own]


def value(columns: Columns) -> str:
    """Return the expression of a vector's value: `v`, and only where that is null what `embedding` holds beside it.

    A runner that died half way filled `embedding` from `v`, so without a `v` it was written by someone who knew.
    """
    kinds = [columns.get(name, "") for name in ("v", "embedding")]
    v, embedding = map(is_value, kinds)
    if not embedding or kinds == ["bytea", "bytea"]:
        return "v" if "v" in columns else "embedding" if embedding else "NULL::bytea"
    if not v:
        return "embedding"
    return f"coalesce(v, {_LITTLE_ENDIAN})" if kinds[0] == "bytea" else "coalesce(v::vector, embedding::vector)"


def _waypoints(columns: Columns, id_type: str) -> list[str]:
    ends = []
    for end in ("src_id", "dst_id"):
        there = columns.get(end)
        ends.append(f"{kinds.by_bytes(end)} AS {end}" if there else f"NULL::text AS {end}")
        ends.append(f"{raw(end, there, id_type) if there else f'NULL::{id_type}'} AS raw_{end}")
    return [*_selected(MAPPED["waypoints"], columns), *ends, _is_rounded("waypoints", columns), _whole(columns)]


def _users(columns: Columns) -> list[str]:
    return [*_selected(MAPPED["users"], columns), _is_rounded("users", columns), _whole(columns)]


def _facts(columns: Columns) -> list[str]:
    return [*_selected(MAPPED["facts"], columns), _other("facts", columns), _whole(columns)]


def is_value(kind: str) -> bool:
    """Return whether vectors are read from columns of this type."""
    return kind == "bytea" or kind.startswith(("vector", "halfvec"))


def _other(what: str, columns: Columns) -> str:
    """Return the expression of what goes into a row's metadata for lack of a column; null where that is nothing."""
    fields = {name: _as_it_is(name, columns[name]) for name in noted(what, columns)}
    for name, is_rounded in _rounded(what, columns).items():
        fields[name] = f"CASE WHEN {is_rounded} THEN {_as_it_is(name, columns[name])} END"
    if not fields:
        return "NULL::jsonb AS other"
    # to_jsonb() of SQL's null is null, and of JSON's null a value, as it was.
    each = ", ".join(f"({Layout.literal(name)}, to_jsonb({value}))" for name, value in fields.items())
    own = f"SELECT jsonb_object_agg(key, value) FROM (VALUES {each}) AS own (key, value) WHERE value IS NOT NULL"
    return f"({own}) AS other"


def _is_rounded(what: str, columns: Columns) -> str:
    """Return the expression of whether a row has times or numbers that are rounded when they are read."""
    found = [f"coalesce({is_rounded}, false)" for is_rounded in _rounded(what, columns).values()]
    return f"{' OR '.join(found) or 'false'} AS is_rounded"


def _rounded(what: str, columns: Columns) -> dict[str, str]:
    """Return the columns that hold finer values than the new ones, each with when one is; null where there is none."""
    found = {
        name: kinds.is_finer(sql.Identifier(name).as_string(), kind, columns[name])
        for name, kind in MAPPED[what].items()
        if name in columns
    }
    return {name: is_finer for name, is_finer in found.items() if is_finer}


def _whole(columns: Columns) -> str:
    """Return the expression of an old row as it is, for the quarantine."""
    if not columns:
        return "NULL::jsonb AS original"
    return f"{_as_jsonb({name: _as_it_is(name, kind) for name, kind in columns.items()})} AS original"


def _as_it_is(name: str, kind: str) -> str:
    """Return the expression of an owner's value; one that JSON or its readers would not keep whole goes as text."""
    column = sql.Identifier(name).as_string()
    text = kinds.by_bytes(column)
    if kind in _AS_TEXT:
        return text
    if kind in _FLOATS or kind.startswith("numeric"):
        is_odd = f"length({text}) >= 255 OR {text} = '-0'"
    elif kind == "jsonb":
        is_odd = f"{column} @? '$.**{{100}}' OR {text} ~ '[0-9]{{255}}'"
    elif kind.endswith("[]"):  # the bounds stand in front where they are not from 1 on
        is_odd = f"left({text}, 1) = '[' OR {text} ~ '[0-9]{{255}}|[{{,]-0[,}}]'"
    else:
        return column
    return f"CASE WHEN {is_odd} THEN to_jsonb({text}) ELSE to_jsonb({column}) END"


def _as_jsonb(fields: Mapping[str, str]) -> str:
    """Return the expression of an object with these expressions under their names."""
    selected = ", ".join(f"{value} AS {sql.Identifier(name).as_string()}" for name, value in fields.items())
    # With the star it is the row, also where a column has its name.
    return f"(SELECT to_jsonb(openmemory_row.*) FROM (SELECT {selected}) AS openmemory_row)"


def raw(column: str, there: str, id_type: str) -> str:
    """Return an id in the type that ids of memories have, so that their index finds it; null for what is no UUID."""
    if there == id_type:
        return kinds.as_id(column, id_type)
    if id_type != "uuid":
        return kinds.as_id(f"{column}::{id_type}", id_type)
    text = kinds.by_bytes(column)
    return f"CASE WHEN {text} ~* '^[0-9a-f]{{8}}-?([0-9a-f]{{4}}-?){{3}}[0-9a-f]{{12}}$' THEN {text}::uuid END"


def _selected(wanted: Mapping[str, str], columns: Columns) -> list[str]:
    place = "ctid AS place" if columns else "NULL::tid AS place"
    return [
        place,
        *(
            f"{kinds.read(sql.Identifier(name).as_string(), kind, columns.get(name))} AS {name}"
            for name, kind in wanted.items()
        ),
    ]
