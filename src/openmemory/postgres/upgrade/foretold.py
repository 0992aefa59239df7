"""Which rows will be set aside, or kept with a note of what they cannot keep: told before an upgrade begins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openmemory.core.scope import tenant_problem
from openmemory.core.sectors import Sector
from openmemory.postgres.statements import Names, Statement, blocks, statement
from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.places import Columns
from openmemory.postgres.upgrade.questions import Answer, Counted, Name, Questions

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
_WITH_TENANTS = ("memories", "users", "facts")


@dataclass(frozen=True, slots=True)
class _SetAside:
    """Rows that will be set aside or noted for one reason, and the id of one of them."""

    reason: str
    count: int
    example: str | None


@dataclass(frozen=True, slots=True)
class _Joined:
    """A tenant that rows name as their own, and whether a user's rows or those of none would go there as well."""

    name: str
    is_users: bool
    is_rests: bool


_WAYPOINTS = statement("upgrade/foretold.waypoints", _SetAside)
_VECTORS = statement("upgrade/foretold.vectors", _SetAside)
_USERS = statement("upgrade/foretold.users", _SetAside)
_ELSEWHERE = statement("upgrade/foretold.elsewhere", _SetAside)
_FACTS = statement("upgrade/foretold.facts", _SetAside)
_NAMES = statement("upgrade/foretold.names", Name)
_NAMESAKE = statement("upgrade/foretold.namesake", Answer)
_JOINED = statement("upgrade/foretold.joined", _Joined)
_FACTS_TWICE = statement("upgrade/foretold.facts_twice", Counted)
_TENANTS = statement("upgrade/foretold.tenants", Name)
_TAKEN = statement("upgrade/foretold.taken", Name)


def rows_set_aside(asking: Questions, columns: Mapping[str, Columns], dimension: int) -> dict[str, tuple[int, str]]:
    """Return how many rows will be set aside or noted, by the reason, and the id of one; without the values of vectors.

    `columns` are the old tables', and `dimension` is that of the vectors that will come across.
    """
    rows = _rows(asking.layout, columns)
    found = {
        f"{what}: {one.reason}": (one.count, one.example or "")
        for what, query in _asked_of(columns)
        for one in asking.all(query, **rows, to_be=str(dimension))
    }
    if asking.layout.plan.tenant_from_user:
        names = asking.each(_NAMES, _NAMES_AT_ONCE, **rows)
        found[_NO_TENANTS] = sum(tenant_problem(user.name) is not None for user in names), ""
    return found


def has_namesake(asking: Questions, columns: Mapping[str, Columns]) -> bool:
    """Return whether a user who becomes a tenant has the name of the one that gets the rows of no user."""
    return asking.layout.plan.tenant_from_user and asking.one(_NAMESAKE, **_rows(asking.layout, columns)).yes


def joined_tenants(asking: Questions, columns: Mapping[str, Columns]) -> tuple[tuple[str, ...], bool]:
    """Return the tenants of old rows that a user of their name would become, too; and whether the rest joins one."""
    if not any("tenant_id" in columns[what] for what in _WITH_TENANTS):
        return (), False
    found = asking.all(_JOINED, **_rows(asking.layout, columns))
    return tuple(one.name for one in found if one.is_users), any(one.is_rests for one in found)


def facts_twice(asking: Questions, columns: Mapping[str, Columns]) -> Counted:
    """Return how many ids more than one fact of a tenant has, and one of them."""
    return asking.one(_FACTS_TWICE, **_rows(asking.layout, columns))


def unfit_tenants(asking: Questions, columns: Mapping[str, Columns]) -> tuple[str, ...]:
    """Return the tenants of old rows whose names no request may bring, and whose rows would thus share one."""
    tables = [asking.layout.old_tables[what] for what in _WITH_TENANTS if "tenant_id" in columns[what]]
    found = {one.name for table in tables for one in asking.all(_TENANTS, table=asking.layout.names.table(table))}
    return tuple(sorted(name for name in found if tenant_problem(name) is not None))


def taken_names(asking: Questions, *, is_staged: bool) -> tuple[str, ...]:
    """Return what of the owner's has a name that the new tables need; they may be in their own schema already."""
    wanted = (
        *new_names(asking.layout.names),
        *(f"idx_vectors_{sector}_{kind}" for sector in Sector for kind in _SHARED_KINDS),
    )
    array = f"ARRAY[{', '.join(map(Layout.literal, wanted))}]"
    return tuple(one.name for one in asking.all(_TAKEN, new_names=array, is_staged=str(is_staged).lower()))


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


def _asked_of(columns: Mapping[str, Columns]) -> Iterator[tuple[str, Statement[_SetAside]]]:
    """Yield each old table and the statement that counts its rows, where there can be any."""
    of_memories = [what for what, found in columns.items() if found and columns["memories"]]
    if "waypoints" in of_memories:
        yield "waypoints", _WAYPOINTS
    if columns["users"]:
        yield "users", _USERS
    if columns["facts"]:
        yield "facts", _FACTS
    if "vectors" in of_memories and columns["vectors"].keys() & {"tenant_id", "project_id", "user_id", "dim"}:
        yield "vectors", _VECTORS
    if "users" in of_memories and "tenant_id" in {*columns["memories"], *columns["users"]}:
        yield "users", _ELSEWHERE


def _rows(layout: Layout, columns: Mapping[str, Columns]) -> dict[str, str]:
    """Return what reads the old tables, and the tenant and the name of the user of a row that it gives."""
    own = blocks("upgrade/foretold")
    rows = {f"{what}_rows": select for what, select in sources.selects(layout, columns).items()}
    of_rows = {
        f"{what}_of_{row}": layout.render(own[what].strip().replace("ROW", row), _texts(row))
        for what in ("tenant", "name")
        for row in ("s", "d", "u", "m", "o", "n", "f")
    }
    return {**rows, **of_rows, **{f"odd_user_of_{row}": _texts(row)["is_odd_user"] for row in ("w", "u")}}


def _texts(row: str) -> dict[str, str]:
    """Return what is asked of the tenant and of the user that a row names."""
    own = blocks("upgrade/foretold")
    return {
        f"{what}_{whose}": own[what].strip().replace("TEXT", f"{row}.{whose}_id")
        for what in ("has_unseen", "is_odd", "as_plain")
        for whose in ("tenant", "user")
    }
