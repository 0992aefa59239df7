"""The way back to the old tables, where nothing newer would be lost; and giving that way up, with the old bytes."""

from collections.abc import Mapping

from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import connected, find_types, patient
from openmemory.postgres.locks import the_only_one
from openmemory.postgres.registry import facts
from openmemory.postgres.statements import Names, blocks, schema_of_reembedding
from openmemory.postgres.upgrade import record, sources
from openmemory.postgres.upgrade.building import body
from openmemory.postgres.upgrade.dependants import STAND_ON_IT, dependants, listed
from openmemory.postgres.upgrade.foretold import new_names
from openmemory.postgres.upgrade.found import Unmapped
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.recalls import write_back
from openmemory.postgres.upgrade.refusals import explained
from openmemory.postgres.upgrade.unmapped import unmapped

_CONVERSIONS = "002_add_tenant_id"
_COUNTED = ("rows_memories", "rows_users", "rows_waypoints", "rows_temporal_facts")


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
            if "exchanged_at" in recorded:
                _refuse_to_drop(connection, layout, layout.names.schema)
                _exchange_back(connection, layout, recorded)
                _run(connection, layout, "revoke", recorded)
            else:
                _refuse_to_drop(connection, layout, layout.filled)
                _refuse_to_drop_own(connection, layout)
            _run(connection, layout, "unguard", recorded)
            _run(connection, layout, "forget", recorded)


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

    Raises ConfigurationError, and changes nothing, where a view or a function of the owner's stands on them.
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
            found = connection.execute(_text(layout, "references", recorded)).fetchall()
            for table, constraint in found:
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}".encode())
            _run(connection, layout, "drop_kept", recorded)
            record.write(connection, layout, {"bytea_dropped_at": record.now(connection)})
        return tuple(f"{constraint} of {table}" for table, constraint in found)


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


def _refuse_to_drop_own(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError where the owner has put tables or views beside those that are filled."""
    ours = ", ".join(map(Layout.literal, new_names(layout.staging)))
    query = layout.render(blocks("upgrade/down")["beside"], {"ours": f"ARRAY[{ours}]"})
    if found := [str(name) for (name,) in connection.execute(query.encode())]:
        raise ConfigurationError(
            f"schema {layout.filled} is to be dropped, and holds what is none of the upgrade's: {', '.join(found)}."
            " Nothing was changed. Drop it, or bring it into another schema (ALTER TABLE or ALTER VIEW … SET SCHEMA),"
            " and run this again"
        )


def _exchange_back(connection: Connection, layout: Layout, recorded: Mapping[str, str]) -> None:
    _run(connection, layout, "exchange_back", recorded)
    find_types(connection, layout.filled)
    connection.execute(body(layout.block(_CONVERSIONS, "conversions")).encode())
    sources.create_views(connection, layout)
    connection.execute(layout.block(_CONVERSIONS, "facts").encode())
    newer = connection.execute(_text(layout, "newer", recorded)).fetchall()
    if newer:
        told = ", ".join(f"{count} {what}{f' (such as {one})' if one else ''}" for what, count, one in newer)
        raise ConfigurationError(
            f"going back would lose what is newer than the upgrade: {told}. Nothing was changed. What was added can be"
            " deleted if it may be lost; where anything was changed or deleted, only a backup brings the old tables"
            " back (openmemory restore FILE)"
        )
    write_back(connection, layout)


def _run(connection: Connection, layout: Layout, block: str, recorded: Mapping[str, str]) -> None:
    connection.execute(_text(layout, block, recorded))


def _text(layout: Layout, block: str, recorded: Mapping[str, str]) -> bytes:
    template = blocks("upgrade/down")[block]
    for name in _COUNTED:
        template = template.replace(f"{{{name}}}", str(int(recorded.get(name, "0"))))
    return layout.render(template).encode()
