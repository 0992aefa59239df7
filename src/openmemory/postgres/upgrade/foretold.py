"""Which rows will be set aside, or kept with a note of what they cannot keep: told before an upgrade begins."""

from collections.abc import Mapping

from psycopg import Connection

from openmemory.core.scope import tenant_problem
from openmemory.postgres.direct import connected, permitted
from openmemory.postgres.statements import Names, blocks
from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.sources import Columns

NO_TENANTS = "users: its name may not be a tenant's; kept with the rows of no user"

_NAMES_AT_ONCE = 10_000


def rows_set_aside(
    connection: Connection, layout: Layout, columns: Mapping[str, Columns]
) -> tuple[dict[str, int], int]:
    """Return the rows of waypoints, users and facts by the reason, and the waypoints between two users' memories.

    `columns` are the old tables'.
    """
    counted: dict[str, int] = {}
    across_users = 0
    for what in ("waypoints", "users", "facts"):
        if not columns[what] or (what == "waypoints" and not columns["memories"]):
            continue
        for reason, count, *across in connection.execute(_asked(layout, columns, what)):
            across_users += sum(across)
            if reason is not None:
                counted[f"{what}: {reason}"] = int(count)
    return counted, across_users


def no_tenants(conninfo: Mapping[str, str], names: Names) -> int:
    """Return how many users have a name that no tenant may have, of those that --tenant-from would make tenants."""
    with connected(conninfo) as connection, permitted(), connection.transaction():
        layout = Layout(names, Plan(names.dimension))
        columns = sources.all_columns(connection, layout)
        with connection.cursor("users") as cursor:
            cursor.itersize = _NAMES_AT_ONCE
            cursor.execute(_asked(layout, columns, "names"))
            return sum(tenant_problem(str(name)) is not None for (name,) in cursor)


def _asked(layout: Layout, columns: Mapping[str, Columns], block: str) -> bytes:
    rows = {f"{what}_rows": select for what, select in sources.selects(layout, columns).items()}
    return layout.render(blocks("upgrade/foretold")[block], rows).encode()
