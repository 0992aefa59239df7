"""Whether an id or a text is taken is looked up by its keys, however many memories the tenant has."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from openmemory import app as application
from openmemory.adapters.embedders import HashEmbedder
from openmemory.app import Readied
from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.core.text import fingerprint
from openmemory.postgres.database import Database
from openmemory.postgres.memories import Taken, insert_call
from openmemory.postgres.statements import statement
from openmemory.service.encoding import Encoder
from openmemory.settings import Settings
from tests.conftest import Server
from tests.factories import NOON, a_scope
from tests.postgres.databases import a_place

MANY, AT_ONCE = 3_000, 300


@pytest.fixture(scope="module", params=["analysed", "unanalysed"])
async def many(
    postgres: Server, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Database, Scope, UUID]]:
    """Yield a database with a large and a small tenant, the scope of the large one, and one of its ids."""
    with a_place(postgres) as place:
        place.migrate()
        scope, ids = a_scope(), list[UUID]()
        ready = Readied(place.logins, place.names)
        async with application.open_services(settings, ready, HashEmbedder(64)) as services:
            for one, count in ((scope, MANY), (a_scope(), AT_ONCE)):
                for start in range(0, count, AT_ONCE):
                    told = [Told(f"told {n}") for n in range(start, start + AT_ONCE)]
                    kept = await services.memories.add_all(one, told)
                ids.append(kept[0].id)
        if request.param == "analysed":
            with place.owner() as connection:
                connection.execute("ANALYZE")
        async with Database(place.logins.server, place.names) as pooled:
            yield pooled, scope, ids[0]


@pytest.mark.parametrize("keys", [1, 100])
async def test_what_is_taken_is_looked_up_by_its_keys_alone(many: tuple[Database, Scope, UUID], keys: int) -> None:
    database, scope, memory_id = many
    ids = [memory_id, *(uuid4() for _ in range(keys - 1))]
    said = [fingerprint(f"told {n}") for n in range(keys)]

    async with database.tenant(scope, read_only=True) as tx:
        plan = await tx.explain(statement("memories.taken", Taken), ids=ids, fingerprints=said)

    conditions = [line for line in plan if "Index Cond" in line]
    assert [line for line in plan if "Seq Scan" in line or "Removed by Filter" in line] == []
    assert [f"(tenant_id = '{scope.tenant}'" in line for line in conditions] == [True, True], plan
    assert ["(id = " in conditions[0], "(fingerprint = " in conditions[1]] == [True, True], plan


async def test_an_id_that_comes_with_a_known_text_is_looked_up_by_its_key(many: tuple[Database, Scope, UUID]) -> None:
    database, scope, _ = many
    new = await Encoder(HashEmbedder(64), 64).encode([Told("told 0", id=uuid4())], NOON)
    call = insert_call(new, NOON, 0.0)

    async with database.tenant(scope) as tx:
        plan = await tx.explain(call.statement, **call.params)

    (at,) = (place for place, line in enumerate(plan) if "Index Cond" in line and "(id = excluded.id)" in line)
    assert f"(tenant_id = '{scope.tenant}'" in plan[at]
    assert "_pkey" in plan[at - 1]
    assert [line for line in plan if "Seq Scan" in line] == []
