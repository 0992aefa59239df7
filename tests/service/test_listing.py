"""Pages by cursor show every memory once, also while new ones arrive."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.core.memory import Filters, Memory, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.server.calling import Services
from openmemory.service.memories import Memories
from tests.factories import a_scope
from tests.service.conftest import Rooms

USERS = (None, "u", "v")


async def _all_pages(memories: Memories, scope: Scope, limit: int, filters: Filters, between: bool) -> list[Memory]:
    seen, before = list[Memory](), None
    while True:
        page = await memories.listing(scope, limit=limit, before=before, filters=filters)
        seen += page.items
        if page.next_before is None:
            return seen
        before = page.next_before
        if between:
            await memories.add(scope, Told(f"arrived after {before}"))


@settings(deadline=None, max_examples=12)
@given(count=st.integers(0, 23), limit=st.integers(1, 9), arriving=st.booleans())
async def test_the_pages_are_complete_and_without_repeats(
    services: Services, count: int, limit: int, arriving: bool
) -> None:
    scope, memories = a_scope(), services.memories
    added = await memories.add_all(scope, [Told(f"fact {place}") for place in range(count)])

    seen = await _all_pages(memories, scope, limit, Filters(), arriving)

    assert [one.id for one in seen] == [one.id for one in reversed(added)]


async def test_a_listing_is_narrowed_like_the_memories_themselves(rooms: Rooms, scope: Scope) -> None:
    told = [
        Told(
            f"fact {place}",
            user_id=USERS[place % 3],
            project_id="pq"[place % 2],
            session_id=f"s{place % 4}",
            sector=one,
        )
        for place, one in enumerate(list(Sector) * 6)
    ]
    await rooms.memories.add_all(scope, told)
    everything = (await rooms.memories.listing(scope, limit=1000, filters=Filters())).items

    for user in USERS:
        for project in (None, "p"):
            for filters in (Filters(), Filters(session_id="s1"), Filters(sectors=Sector.SEMANTIC.bit)):
                narrow = Scope(scope.tenant, user, project)
                seen = await _all_pages(rooms.memories, narrow, 4, filters, between=False)

                assert [one.id for one in seen] == [one.id for one in everything if _fits(one, narrow, filters)]


@pytest.mark.parametrize(("limit", "offset", "wanted"), [(3, 0, "654"), (3, 5, "10"), (3, 7, ""), (10, 2, "43210")])
async def test_an_offset_skips_the_newest(
    memories: Memories, scope: Scope, limit: int, offset: int, wanted: str
) -> None:
    await memories.add_all(scope, [Told(str(place)) for place in range(7)])

    page = await memories.listing(scope, limit=limit, offset=offset, filters=Filters())

    assert "".join(one.content for one in page.items) == wanted


async def test_totals_and_sectors_count_the_tenant(memories: Memories, scope: Scope) -> None:
    told = [
        Told(f"fact {place}", user_id=USERS[place % 3], session_id="s", sector=Sector.SEMANTIC) for place in range(6)
    ]
    await memories.add_all(scope, [*told, Told("a feeling", sector=Sector.EMOTIONAL)])

    totals, counts = await memories.totals(scope), await memories.sector_counts(scope)

    assert (totals.memories, totals.users, totals.sessions, totals.projects) == (7, 2, 1, 0)
    assert {one.sector: one.count for one in counts} == {"semantic": 6, "emotional": 1}


async def test_an_empty_tenant_has_nothing_and_no_error(memories: Memories, scope: Scope) -> None:
    page = await memories.listing(scope, limit=10, filters=Filters())

    assert (page.items, page.next_before) == ([], None)
    assert (await memories.totals(scope)).earliest is None
    assert await memories.sector_counts(scope) == []


def _fits(memory: Memory, scope: Scope, filters: Filters) -> bool:
    return (
        scope.user in (None, memory.user_id)
        and scope.project in (None, memory.project_id)
        and filters.session_id in (None, memory.session_id)
        and (filters.sectors is None or bool(memory.sectors & filters.sectors))
    )
