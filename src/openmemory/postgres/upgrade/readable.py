"""Whether all rows of the old tables can be read, before a step reads them."""

from collections.abc import Iterator

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import kinds, places, record, sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.questions import Count, Counted, Questions

# By what an owner finds a row.
_KEYS = {
    "memories": ("id",),
    "vectors": ("id",),
    "waypoints": ("src_id", "dst_id"),
    "users": ("user_id",),
    "facts": ("id",),
}


# What a row cannot do without, where a key was lost, and what an owner may give it.
_NEEDED = (
    ("memories", "id", "gen_random_uuid()"),
    ("vectors", "id", None),
    ("vectors", "sector", "'semantic'"),
)

_MISREAD = statement("upgrade/readable.misread", Counted)
_WITHOUT_CONTENT = statement("upgrade/readable.without_content", Counted)
_WITHOUT = statement("upgrade/readable.without", Count)


def check_readable(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError, with the way out, where old rows cannot be read.

    That is where a table is none, or hides rows, memories have no content, or values are of a type that is not known.
    """
    try:
        connection.execute(layout.block("session", "readable").encode())
    except errors.ObjectNotInPrerequisiteState as error:
        raise ConfigurationError(f"{first_line(error)}. {error.diag.message_hint}") from error
    _refuse_without_content(connection, layout)
    _refuse_without_key(connection, layout)
    _refuse_other_values(connection, layout)
    refuse_other_types(connection, layout)


def refuse_other_types(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError where times or numbers are in columns of types that they cannot be read from exactly."""
    problems = [problem for what in _KEYS for problem in _other_types(connection, layout, what)]
    if problems:
        # The views of an upgrade stand on the columns, and its guard keeps writes out.
        begun = ["Go back first: `openmemory migrate --down`."] if record.read(connection, layout.names) else []
        raise ConfigurationError(" ".join([*begun, *problems, "Then run this again"]))


def _other_types(connection: Connection, layout: Layout, what: str) -> Iterator[str]:
    """Yield what is wrong with the columns of an old table, each with an example and what to do about it."""
    table = layout.names.table(layout.old_tables[what])
    found = sources.columns(connection, layout, layout.old_tables[what])
    asking, key = Questions(connection, layout), _key(what, found)
    for name in (name for name in places.MAPPED[what] if name in found):
        column, kind = sql.Identifier(name).as_string(), places.MAPPED[what][name]
        for test in kinds.tests(table, column, kind, found[name], is_noted=what in places.NOTED):
            misread = asking.one(_MISREAD, table=table, key=key, column=column, holds=test.holds)
            if misread.count:
                yield (
                    f"the column {name} of {table} is of type {found[name]}, and {misread.count:,} of its values, such"
                    f" as that of {misread.example}, cannot be read as {test.wanted}. Run {test.remedy};"
                )


def _key(what: str, found: places.Columns) -> str:
    """Return the expression of what names a row: of its key the columns that are there, else its place."""
    return " || ' to ' || ".join(kinds.by_bytes(name) for name in _KEYS[what] if name in found) or "'ctid ' || ctid"


def _refuse_without_content(connection: Connection, layout: Layout) -> None:
    if "content" not in sources.columns(connection, layout, layout.names.memories):
        return
    found = Questions(connection, layout).one(_WITHOUT_CONTENT)
    if found.count:
        table = layout.names.table(layout.names.memories)
        raise ConfigurationError(
            f"{found.count:,} memories have no content (NULL), such as {found.example}. Delete them, or give them one:"
            f" UPDATE {table} SET content = '' WHERE content IS NULL"
        )


def _refuse_without_key(connection: Connection, layout: Layout) -> None:
    for what, name, given in _NEEDED:
        there = sources.columns(connection, layout, layout.old_tables[what]).get(name)
        table = layout.names.table(layout.old_tables[what])
        if there is None:
            continue
        if count := Questions(connection, layout).one(_WITHOUT, table=table, column=name).count:
            way = f"give them one (UPDATE {table} SET {name} = {given} WHERE {name} IS NULL), or " if given else ""
            raise ConfigurationError(
                f"{count:,} rows of {table} have no {name} (NULL), by which they could be kept. Nothing was changed:"
                f" {way}keep a copy of them elsewhere and delete them (DELETE FROM {table} WHERE {name} IS NULL)"
            )


def _refuse_other_values(connection: Connection, layout: Layout) -> None:
    found = sources.columns(connection, layout, layout.names.vectors)
    table = layout.names.table(layout.names.vectors)
    for name, kind in found.items():
        if name not in {"v", "embedding"} or sources.is_value(kind):
            continue
        if connection.execute(f"SELECT FROM {table} WHERE {name} IS NOT NULL LIMIT 1".encode()).rowcount:
            raise ConfigurationError(
                f"the column {name} of {table} is of type {kind}; vectors are read from bytea, vector and halfvec. Make"
                f" it one of them: ALTER TABLE {table} ALTER COLUMN {name} TYPE vector USING {name}::vector"
            )
