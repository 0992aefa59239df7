"""Rows that an old database may have brought, at the ends of what their columns hold, are served like others."""

import psycopg
import pytest

from openmemory.app import Logins
from openmemory.core.memory import Asked, Change, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.errors import VersionChanged
from tests.service.conftest import Rooms
from tests.service.fading import ABOUT

LARGEST = 2**31 - 1
MICROSECOND = 1 / 86_400_000_000


def put(logins: Logins, scope: Scope, column: str, value: float) -> None:
    """Give a tenant's memories a value as only SQL can."""
    with psycopg.connect(autocommit=True, **logins.owner) as connection:  # type: ignore[arg-type]  # all text
        query = f"UPDATE openmemory_memories SET {column} = %s WHERE tenant_id = %s"
        assert connection.execute(query.encode(), [value, scope.tenant]).rowcount == 1


@pytest.mark.parametrize("days", [0, MICROSECOND, 1, 1_000_000])
@pytest.mark.parametrize(
    ("rate", "left"), [(5e-324, 1), (1e-308, 1), (1e-300, 1), (1e200, 0), (1e308, 0), (float("inf"), 0)]
)
async def test_a_rate_that_is_next_to_nothing_or_beyond_everything_fades_a_memory_accordingly(
    rooms: Rooms, scope: Scope, logins: Logins, rate: float, left: int, days: float
) -> None:
    added = await rooms.memories.add(scope, Told("the mill wheel turns", sector=Sector.EPISODIC, salience=0.5))
    put(logins, scope, "decay_rate", rate)
    rooms.clock.advance(days=days)

    (counted,) = await rooms.memories.sector_counts(scope)
    (match,) = (await rooms.search.find(scope, Asked("mill wheel"))).matches
    await rooms.memories.reinforce(scope, added.id, 0.2)

    wanted = 0.5 if left or not days else 0
    assert counted.avg_salience == pytest.approx(wanted, abs=ABOUT)
    assert match.salience == pytest.approx(wanted, abs=ABOUT)
    assert (await rooms.memories.get(scope, added.id)).salience == pytest.approx(wanted + 0.2, abs=ABOUT)


async def test_after_the_largest_version_a_change_counts_from_one_again(
    rooms: Rooms, scope: Scope, logins: Logins
) -> None:
    added = await rooms.memories.add(scope, Told("the mill wheel turns"))
    put(logins, scope, "version", LARGEST - 1)

    changes = [await rooms.memories.change(scope, added.id, Change(tags=(tag,))) for tag in ("one", "two", "three")]

    assert [changed.version for changed in changes] == [LARGEST, 1, 2]
    assert (await rooms.memories.get(scope, added.id)).version == 2
    with pytest.raises(VersionChanged):
        await rooms.memories.change(scope, added.id, Change(tags=("four",)), versions={LARGEST})
