"""The way back to the old tables, where nothing newer would be lost; and giving that way up, with the old bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import connected, find_types, patient
from openmemory.postgres.locks import the_only_one
from openmemory.postgres.registry import facts
from openmemory.postgres.statements import Names, schema_of_reembedding, statement
from openmemory.postgres.upgrade import record, sources
from openmemory.postgres.upgrade.building import body
from openmemory.postgres.upgrade.dependants import STAND_ON_IT, dependants, listed, ways_out
from openmemory.postgres.upgrade.foretold import new_names
from openmemory.postgres.upgrade.found import Unmapped
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.questions import Name, Questions
from openmemory.postgres.upgrade.recalls import write_back
from openmemory.postgres.upgrade.refusals import explained
from openmemory.postgres.upgrade.unmapped import unmapped

_CONVERSIONS = "002_add_tenant_id"
_COUNTED = ("rows_memories", "rows_users", "rows_waypoints", "rows_temporal_facts")


@dataclass(frozen=True, slots=True)
class _Newer:
    """New rows of one kind that the old tables do not have, and the id of one of them."""

    what: str
    count: int
    one_of_them: str | None


@dataclass(frozen=True, slots=True)
class _Reference:
    """A constraint of a table that stays, to one that goes; both quoted."""

    of_table: str
    name: str


_BESIDE = statement("upgrade/down.beside", Name)
_NEWER = statement("upgrade/down.newer", _Newer)
_REFERENCES = statement("upgrade/down.references", _Reference)
_EXCHANGE_BACK = statement("upgrade/down.exchange_back", type(None))
_REVOKE = statement("upgrade/down.revoke", type(None))
_UNGUARD = statement("upgrade/down.unguard", type(None))
_FORGET = statement("upgrade/down.forget", type(None))
_DROP_KEPT = statement("upgrade/down.drop_kept", type(None))


def down(conninfo: Mapping[str, str], names: Names) -> None:
    """Bring the old tables back as they were, and drop the new ones.

    Raises ConfigurationError, and changes nothing, where the new tables hold what the old ones do not, where something
    of the owner's stands on the new ones, or where the old ones were dropped.
    """
    with patient(conninfo) as connection, the_only_one(connection):
        recorded, layout = _begun(connection, names)
        _refuse_reembedding(connection, names)
        if "bytea_dropped_at" in recorded:
            raise ConfigurationError(
                "the old tables were dropped by `openmemory migrate --drop-bytea`, so there is no way back but a"
                " backup: openmemory restore FILE"
            )
        with explained("--down", conninfo, names), connection.transaction():
            connection.execute(layout.render("SET LOCAL lock_timeout = {lock_timeout}").encode())
            asking = Questions(connection, layout)
            if "exchanged_at" in recorded:
                _refuse_to_drop(connection, layout, layout.names.schema)
                _exchange_back(asking, recorded)
                asking.run(_REVOKE)
            else:
                _refuse_to_drop(connection, layout, layout.filled)
                _refuse_to_drop_own(asking)
            asking.run(_UNGUARD)
            asking.run(_FORGET)


def foreign_keys(conninfo: Mapping[str, str], names: Names) -> tuple[str, ...]:
    """Return the constraints of others that `drop_bytea` drops."""
    with connected(conninfo) as connection:
        _, layout = _begun(connection, names)
        found = dependants(connection, layout, layout.kept)
    return tuple(one.name for one in found if one.kind == "foreign key")


def left_behind(conninfo: Mapping[str, str], names: Names) -> tuple[Unmapped, ...]:
    """Return the columns of the old tables that `drop_bytea` drops and that nobody has or can make again."""
    with patient(conninfo) as connection:
        _, layout = _begun(connection, names)
        return tuple(
            one for one in unmapped(connection, layout, layout.kept) if not one.is_noted and not one.is_derived
        )


def embedded_since(conninfo: Mapping[str, str], names: Names) -> str | None:
    """Return the model of the vectors that `openmemory reembed` made since, which `down` drops, or None."""
    with connected(conninfo) as connection:
        recorded, _ = _begun(connection, names)
    if "exchanged_at" not in recorded:
        return None
    now = facts(conninfo, names)
    was = (recorded["embedding_model"], recorded["dimension"])
    is_now = (now.get("embedding_model"), now.get("embedding_dimension"))
    return None if is_now == was else now.get("embedding_model")


def drop_bytea(conninfo: Mapping[str, str], names: Names) -> tuple[str, ...]:
    """Drop the old tables with their bytes for good, and return the constraints of others that went with them.

    Raises ConfigurationError, and changes nothing, where a view or a function of the owner's stands on them, or where
    another table shows their rows as its own.
    """
    with patient(conninfo) as connection, the_only_one(connection):
        recorded, layout = _begun(connection, names)
        if recorded.get("step") != record.DONE:
            raise ConfigurationError("the upgrade is not finished, so the old tables stay; run `openmemory migrate`")
        if "bytea_dropped_at" in recorded:
            return ()
        with explained("--drop-bytea", conninfo, names), connection.transaction():
            connection.execute(layout.render("SET LOCAL lock_timeout = {lock_timeout}").encode())
            _refuse_to_drop(connection, layout, layout.kept, but="foreign key")
            _refuse_to_take_out(connection, layout)
            asking = Questions(connection, layout)
            references = asking.all(_REFERENCES)
            for one in references:
                connection.execute(f"ALTER TABLE {one.of_table} DROP CONSTRAINT {one.name}".encode())
            asking.run(_DROP_KEPT)
            record.write(connection, layout, {"bytea_dropped_at": record.now(connection)})
        return tuple(f"{one.name} of {one.of_table}" for one in references)


def _begun(connection: Connection, names: Names) -> tuple[dict[str, str], Layout]:
    recorded = record.read(connection, names)
    if not recorded:
        raise ConfigurationError(f"no upgrade was begun in schema {names.schema}; there is nothing to do")
    plan = record.begun_with(recorded, Plan(names.dimension))
    return recorded, Layout(names, plan)


def _refuse_reembedding(connection: Connection, names: Names) -> None:
    beside = schema_of_reembedding(names.schema)
    if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [beside]).rowcount:
        raise ConfigurationError(
            f"an unfinished `openmemory reembed` keeps its vectors in schema {beside}, and would go on with them when"
            " the memories are others. Drop them first: openmemory reembed --abandon"
        )


def _refuse_to_drop(connection: Connection, layout: Layout, schema: str, but: str = "") -> None:
    """Raise ConfigurationError where something of the owner's stands on the tables in `schema`."""
    kinds = set(STAND_ON_IT) - {but}
    if standing := [one for one in dependants(connection, layout, schema) if one.kind in kinds]:
        raise ConfigurationError(
            f"something stands on the tables of schema {schema} that are to be dropped: {listed(standing)}. Nothing was"
            " changed. Drop it, or make it anew on the tables that stay, and run this again"
        )


def _refuse_to_take_out(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError where rows of the old tables would be gone from a table that stays."""
    if found := ways_out(dependants(connection, layout, layout.kept), layout.kept):
        raise ConfigurationError(
            "another table shows rows of the old ones as its own, and would be without them. Nothing was changed. Copy"
            f" the rows into it if they are to stay there, run {'; '.join(found)}, and run this again"
        )


def _refuse_to_drop_own(asking: Questions) -> None:
    """Raise ConfigurationError where the owner has put tables or views beside those that are filled."""
    ours = ", ".join(map(Layout.literal, new_names(asking.layout.staging)))
    if found := [one.name for one in asking.all(_BESIDE, ours=f"ARRAY[{ours}]")]:
        raise ConfigurationError(
            f"schema {asking.layout.filled} is to be dropped, and holds what is none of the upgrade's:"
            f" {', '.join(found)}. Nothing was changed. Drop it, or bring it into another schema (ALTER"
            " TABLE or ALTER VIEW … SET SCHEMA), and run this again"
        )


def _exchange_back(asking: Questions, recorded: Mapping[str, str]) -> None:
    connection, layout = asking.connection, asking.layout
    asking.run(_EXCHANGE_BACK)
    find_types(connection, layout.filled)
    connection.execute(body(layout.block(_CONVERSIONS, "conversions")).encode())
    sources.create_views(connection, layout)
    connection.execute(layout.block(_CONVERSIONS, "facts").encode())
    if newer := asking.all(_NEWER, **{name: str(int(recorded.get(name, "0"))) for name in _COUNTED}):
        told = ", ".join(
            f"{one.count} {one.what}{f' (such as {one.one_of_them})' if one.one_of_them else ''}" for one in newer
        )
        raise ConfigurationError(
            f"going back would lose what is newer than the upgrade: {told}. Nothing was changed. What was added can be"
            " deleted if it may be lost; where anything was changed or deleted, only a backup brings the old tables"
            " back (openmemory restore FILE)"
        )
    write_back(connection, layout)
