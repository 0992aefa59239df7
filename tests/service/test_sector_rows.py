"""A lifted old database has a search row for each sector of a memory; the memory is found once."""

import numpy as np
import pytest

from openmemory.core.memory import Asked, Embedding, Told
from openmemory.core.sectors import Sector
from openmemory.postgres.database import Database
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Statement
from tests.factories import a_scope
from tests.service.conftest import Rooms

SECTORS = {"episodic": -0.02, "emotional": 0.01, "reflective": -0.01}

_COPY = Statement(
    "sector_rows.copy",
    "INSERT INTO {vectors} (tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at, seq,"
    " sectors, speaker_key, traits, terms, embedding)"
    " SELECT tenant_id, id, %(sector)s, user_id, project_id, session_id, session_key, occurred_at, seq, sectors,"
    " speaker_key, traits, terms, %(embedding)s FROM {vectors} WHERE tenant_id = %(tenant)s AND sector = 'semantic'"
    " AND id = %(id)s",
    type(None),
    rows_of(type(None)),
)


def _near(share: float) -> Embedding:
    """Return a vector whose cosine to the first axis is `share`."""
    vector = np.zeros(256, np.float32)
    vector[:2] = share, np.sqrt(1 - share**2)
    return vector


@pytest.mark.parametrize("k", [1, 2, 5, 8, 20])
async def test_memories_with_a_row_for_each_sector_are_found_once_and_as_many_as_asked(
    rooms: Rooms, database: Database, k: int
) -> None:
    scope = a_scope()
    told = [
        Told(f"number {place}", embedding=_near(0.1 + place / 20), sector=Sector.SEMANTIC, salience=0.5)
        for place in range(8)
    ]
    added = await rooms.memories.add_all(scope, told)
    async with database.tenant(scope) as tx:
        for place, one in enumerate(added):
            for sector, nearer in SECTORS.items():
                embedding = _near(0.1 + place / 20 + nearer)
                assert await tx.run(_COPY, id=one.id, sector=sector, embedding=embedding) == 1

    matches = (await rooms.search.find(scope, Asked(None, _near(1.0), k=k, explain=True))).matches

    assert [match.memory.content for match in matches] == [f"number {7 - place}" for place in range(min(k, 8))]
    relevances = [match.explanation.relevance for match in matches if match.explanation]
    assert relevances == pytest.approx([(0.46 - place / 20) * 1.015 for place in range(len(matches))], abs=1e-3)


async def test_a_memory_is_found_by_the_embedding_of_any_of_its_sectors(rooms: Rooms, database: Database) -> None:
    scope = a_scope()
    random = np.random.default_rng(3)
    embeddings = random.standard_normal((2, 1_200, 256), np.float32)
    told = [Told(f"number {place}", embedding=one, sector=Sector.SEMANTIC) for place, one in enumerate(embeddings[0])]
    added = [one for half in (told[:600], told[600:]) for one in await rooms.memories.add_all(scope, half)]
    async with database.tenant(scope) as tx:
        for one, embedding in zip(added, embeddings[1], strict=True):
            await tx.run(_COPY, id=one.id, sector="episodic", embedding=embedding)

    for place in range(0, 1_200, 150):
        for sector in (0, 1):
            found = await rooms.search.find(scope, Asked(None, embeddings[sector][place], k=1))
            assert found.matches[0].memory.id == added[place].id
