"""The record that an upgrade keeps in the database: its decisions, and how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from psycopg import Connection

from openmemory.postgres.asking import asked
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL, Plan

DONE = "done"


@dataclass(frozen=True, slots=True)
class _Time:
    text: str


_WRITE = statement("upgrade/record.write", type(None))
_NOW = statement("upgrade/record.now", _Time)


def read(connection: Connection, names: Names) -> dict[str, str]:
    """Return what is recorded, nothing where no upgrade was begun."""
    table = names.table("openmemory_upgrade")
    if connection.execute("SELECT to_regclass(%s) IS NULL", [table]).fetchone() == (True,):
        return {}
    return {str(name): str(value) for name, value in connection.execute(f"SELECT name, value FROM {table}".encode())}


def write(connection: Connection, layout: Layout, values: Mapping[str, object]) -> None:
    """Record `values`, in the transaction that is open."""
    query = layout.render_with_params(_WRITE.template)
    for name, value in values.items():
        connection.execute(query, {"name": name, "value": str(value)})


def now(connection: Connection) -> str:
    """Return the server's time as it is recorded: in UTC, whatever the session's time zone and way to write dates."""
    (time,) = asked(connection, _NOW)
    return time.text


def begun_with(recorded: Mapping[str, str], plan: Plan) -> Plan:
    """Return the decisions that an upgrade began with, which `plan` may not change; its batch size may.

    A model that `plan` names is what the owner says of the old vectors now.
    """
    if "tenant" not in recorded:
        return plan
    named = plan.embedding_model != UNKNOWN_MODEL
    return replace(
        plan,
        tenant=recorded["tenant"],
        tenant_from_user=recorded["tenant_from"] == "user_id",
        dimension=int(recorded["dimension"]),
        embedding_model=plan.embedding_model if named else recorded["embedding_model"],
    )


def decisions(layout: Layout) -> dict[str, object]:
    """Return what an upgrade begins with, as it is recorded."""
    plan = layout.plan
    return {
        "tenant": plan.tenant,
        "tenant_from": "user_id" if plan.tenant_from_user else "",
        "dimension": plan.dimension,
        "embedding_model": plan.embedding_model,
        "vector_type": layout.names.vector_type,
        "app_role": layout.names.app_role,
    }
