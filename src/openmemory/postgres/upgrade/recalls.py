"""What recall did since an upgrade, written into the old tables when they come back, in the types that they have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.statements import blocks, statement
from openmemory.postgres.upgrade import kinds, sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.questions import Count, Counted, Questions

_RECALLED = statement("upgrade/down.recalled", Counted)
_WRITE_BACK = statement("upgrade/down.write_back", type(None))
_ROUNDED = statement("upgrade/down.rounded", Count)
_FIRE = statement("upgrade/down.fire", type(None))
_SETTLE = statement("upgrade/down.settle", type(None))
_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_SEEN = "date_trunc('milliseconds', m.last_seen_at)"


@dataclass(frozen=True, slots=True)
class _Hook:
    """A trigger or a rule of the owner's, quoted, and PostgreSQL's letter for when it acts."""

    hook: str
    state: str


_FIRING = statement("upgrade/down.firing", _Hook)


@dataclass(frozen=True, slots=True)
class _Written:
    """A column of the old memories: the kind of its values, the type that holds all of them, and when one is another.

    `real` holds a share to seven digits, which is near enough.
    """

    name: str
    kind: str
    type: str
    is_other: str


# A memory counts as recalled until its time is written, so that comes last.
_COLUMNS = (
    _Written("salience", "float8", "double precision", "coalesce(abs(came.salience - m.salience) > 1e-6, true)"),
    _Written("last_seen_at", "ms", "bigint", f"{_SEEN} <> {{came_seen}}"),
)


def write_back(connection: Connection, layout: Layout) -> None:
    """Write what recall did into the old memories, which are in their place again; no trigger of the owner's fires.

    Raises ConfigurationError where a column is of a type that cannot hold it.
    """
    asking = Questions(connection, layout)
    recalled = asking.one(_RECALLED, came_seen=_came_seen(layout))
    if not recalled.count:
        return
    there = sources.columns(connection, layout, layout.names.memories)
    with _quiet(asking):
        for column in _COLUMNS:
            if not _is_written(asking, column, there.get(column.name)):
                raise ConfigurationError(
                    f"going back would lose what recall did: {recalled.count:,} memories were recalled since (such as"
                    f" {recalled.example}), and the column {column.name} of the old ones"
                    f" {_lack(there.get(column.name))}. Nothing was changed. Run"
                    f" {_remedy(layout, column, there.get(column.name))}; and then this again"
                )


@contextmanager
def _quiet(asking: Questions) -> Iterator[None]:
    """Let no trigger and no rule of the owner's act in the block; an error undoes that with the transaction."""
    hooks = asking.all(_FIRING)
    for one in hooks:
        asking.run(_FIRE, how="DISABLE", hook=one.hook)
    yield
    asking.run(_SETTLE)
    for one in hooks:
        asking.run(_FIRE, how=_ENABLE[one.state], hook=one.hook)


def _is_written(asking: Questions, column: _Written, there: str | None) -> bool:
    """Return whether the column took what was written; where it did not, the transaction may have failed."""
    if there is None:
        return False
    seen = _came_seen(asking.layout)
    is_other = column.is_other.replace("{came_seen}", seen)
    try:
        asking.run(_WRITE_BACK, column=column.name, value=_value(column, there), came_seen=seen)
        return asking.one(_ROUNDED, is_other=is_other, came_seen=seen).count == 0
    except (errors.DataError, errors.DatatypeMismatch, errors.CheckViolation):
        return False


def _value(column: _Written, there: str) -> str:
    if column.kind != "ms":
        return f"m.{column.name}"
    if kinds.is_timestamp(there):
        # One without a time zone was read as UTC's.
        return _SEEN if there.endswith("with time zone") else f"{_SEEN} AT TIME ZONE 'UTC'"
    return "floor(extract(epoch FROM m.last_seen_at) * 1000)::bigint"


def _lack(there: str | None) -> str:
    return "is not there" if there is None else f"is of type {there}, which cannot hold it"


def _remedy(layout: Layout, column: _Written, there: str | None) -> str:
    """Return the statement that gives the column of the kept table a type that holds what is to be written."""
    table = sql.Identifier(layout.kept, layout.names.memories).as_string()
    name = sql.Identifier(column.name).as_string()
    if there is None:
        return f"ALTER TABLE {table} ADD COLUMN {name} {column.type}"
    using = kinds.read(name, column.kind, there)
    return f"ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT, ALTER COLUMN {name} TYPE {column.type} USING {using}"


def _came_seen(layout: Layout) -> str:
    return layout.render(blocks("upgrade/down")["came_seen"].strip())
