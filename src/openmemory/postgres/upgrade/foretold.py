"""Which rows will be set aside, or kept with a note of what they cannot keep: told before an upgrade begins."""

from collections.abc import Iterator, Mapping

from psycopg import Connection

from openmemory.core.scope import tenant_problem
from openmemory.core.sectors import Sector
from openmemory.postgres.statements import Names, blocks
from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.sources import Columns

_NO_TENANTS = "users: its name may not be a tenant's; kept with the rows of no user"

_NAMES_AT_ONCE = 10_000
_TABLES = (
    "openmemory_users",
    "openmemory_waypoints",
    "temporal_facts",
    "openmemory_idempotency",
    "openmemory_tenants",
    "openmemory_meta",
    "openmemory_migrations",
)
_INDEXES = ("openmemory_idempotency_age", "openmemory_waypoints_target", "one_truth_at_a_time")
_SHARED_KINDS = ("hnsw", "ivfflat")


def rows_set_aside(
    connection: Connection, layout: Layout, columns: Mapping[str, Columns], dimension: int
) -> dict[str, tuple[int, str]]:
    """Return how many rows will be set aside or noted, by the reason, and the id of one; without the values of vectors.

    `columns` are the old tables', and `dimension` is that of the vectors that will come across.
    """
    counted: dict[str, tuple[int, str]] = {}
    for what, block in _asked_of(columns):
        for reason, count, example in connection.execute(_asked(layout, columns, block, dimension)):
            counted[f"{what}: {reason}"] = int(count), str(example or "")
    if layout.plan.tenant_from_user:
        counted[_NO_TENANTS] = _no_tenants(connection, layout, columns), ""
    return counted


def _asked_of(columns: Mapping[str, Columns]) -> Iterator[tuple[str, str]]:
    """Yield each old table and the block that counts its rows, where there can be any."""
    of_memories = [what for what, found in columns.items() if found and columns["memories"]]
    yield from ((what, what) for what in ("waypoints",) if what in of_memories)
    yield from ((what, what) for what in ("users", "facts") if columns[what])
    if "vectors" in of_memories and columns["vectors"].keys() & {"tenant_id", "project_id", "user_id", "dim"}:
        yield "vectors", "vectors"
    if "users" in of_memories and "tenant_id" in {*columns["memories"], *columns["users"]}:
        yield "users", "elsewhere"


def has_namesake(connection: Connection, layout: Layout, columns: Mapping[str, Columns]) -> bool:
    """Return whether a user who becomes a tenant has the name of the one that gets the rows of no user."""
    if not layout.plan.tenant_from_user:
        return False
    ((found,),) = connection.execute(_asked(layout, columns, "namesake")).fetchall()
    return bool(found)


def facts_twice(connection: Connection, layout: Layout, columns: Mapping[str, Columns]) -> tuple[int, str]:
    """Return how many ids more than one fact of a tenant has, and one of them."""
    ((count, example),) = connection.execute(_asked(layout, columns, "facts_twice")).fetchall()
    return int(count), str(example)


def unfit_tenants(connection: Connection, layout: Layout, columns: Mapping[str, Columns]) -> tuple[str, ...]:
    """Return the tenants of old rows whose names no request may bring, and whose rows would thus share one."""
    found: set[str] = set()
    for what in ("memories", "users", "facts"):
        if "tenant_id" in columns[what]:
            query = f"SELECT DISTINCT tenant_id::text FROM {{old_{what}_table}} WHERE tenant_id::text <> ''"
            found |= {str(name) for (name,) in connection.execute(layout.render(query).encode())}
    return tuple(sorted(name for name in found if tenant_problem(name) is not None))


def taken_names(connection: Connection, layout: Layout, *, is_staged: bool) -> tuple[str, ...]:
    """Return what of the owner's has a name that the new tables need; they may be in their own schema already."""
    wanted = (
        *new_names(layout.names),
        *(f"idx_vectors_{sector}_{kind}" for sector in Sector for kind in _SHARED_KINDS),
    )
    array = f"ARRAY[{', '.join(map(Layout.literal, wanted))}]"
    more = {"new_names": array, "is_staged": str(is_staged).lower()}
    query = layout.render(blocks("upgrade/foretold")["taken"], more)
    return tuple(str(name) for (name,) in connection.execute(query.encode()))


def new_names(names: Names) -> tuple[str, ...]:
    """Return every name of a relation that the new tables bring into the schema."""
    return (
        names.memories,
        names.vectors,
        f"{names.memories}_seq_seq",
        *names.index_names,
        *_TABLES,
        *(f"{table}_pkey" for table in _TABLES),
        *_INDEXES,
    )


def _no_tenants(connection: Connection, layout: Layout, columns: Mapping[str, Columns]) -> int:
    """Return how many users have a name that no tenant may have."""
    with connection.transaction(), connection.cursor("users") as cursor:
        cursor.itersize = _NAMES_AT_ONCE
        cursor.execute(_asked(layout, columns, "names"))
        return sum(tenant_problem(str(name)) is not None for (name,) in cursor)


def _asked(layout: Layout, columns: Mapping[str, Columns], block: str, dimension: int = 0) -> bytes:
    own = blocks("upgrade/foretold")
    rows = {f"{what}_rows": select for what, select in sources.selects(layout, columns).items()}
    tenant, name, unseen = own["tenant"].strip(), own["name"].strip(), {"unseen": own["unseen"].strip()}
    of_rows = {
        f"{what}_of_{row}": layout.render(template.replace("ROW", row), unseen)
        for what, template in (("tenant", tenant), ("name", name))
        for row in ("s", "d", "u", "m", "o", "n", "f")
    }
    return layout.render(own[block], {**rows, **of_rows, "to_be": str(dimension)}).encode()
