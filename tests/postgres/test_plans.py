"""A question reads its own tenant's part of the index and nothing else, on a table that nobody analysed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from openmemory import app as application
from openmemory.adapters.embedders import HashEmbedder
from openmemory.app import Readied
from openmemory.core.memory import Filters, Told
from openmemory.core.scope import Scope
from openmemory.postgres import vectors
from openmemory.postgres.adaptation import Floats, Uuids
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.nearest import Near
from openmemory.postgres.statements import statement
from openmemory.settings import Settings
from tests.conftest import Server
from tests.factories import NOON, a_scope
from tests.postgres.databases import a_place

EVERYTHING = Filters(session_id="s", sectors=31, since=NOON, until=NOON)


@pytest.fixture(scope="module")
async def unanalysed(postgres: Server, settings: Settings) -> AsyncIterator[tuple[Database, Scope]]:
    """Yield a database with a handful of rows of three tenants, and the scope of one."""
    with a_place(postgres) as place:
        place.migrate()
        ready = Readied(place.logins, place.names)
        scope = a_scope()
        async with application.open_services(settings, ready, HashEmbedder(64)) as services:
            for one in (scope, a_scope(), a_scope()):
                await services.memories.add_all(one, [Told(f"told {n}", user_id=f"u{n % 2}") for n in range(4)])
        async with Database(place.logins.server, place.names) as pooled:
            yield pooled, scope


async def plan_of_passing(tx: TenantTx, filters: Filters) -> tuple[str, ...]:
    """Return PostgreSQL's plan of what finds the rows that filters leave."""
    call = vectors.passing_call(tx.scope, tx.names, filters)
    return await tx.explain(call.statement, **call.params)


@pytest.mark.parametrize("filters", [None, Filters(), EVERYTHING], ids=["rows", "all passing", "filtered"])
@pytest.mark.parametrize("user", [None, "u1"])
async def test_a_question_reads_the_tenants_part_of_the_index_alone(
    unanalysed: tuple[Database, Scope], user: str | None, filters: Filters | None
) -> None:
    database, scope = unanalysed

    async with database.tenant(Scope(scope.tenant, user)) as tx:
        plan = await (vectors.explain_rows(tx) if filters is None else plan_of_passing(tx, filters))

    conditions = [line for line in plan if "Index Cond" in line]
    assert [line for line in plan if " Scan" in line and "Only" not in line and "Subquery" not in line] == []
    assert any("Index Only Scan using openmemory_vectors_search" in line for line in plan)
    assert f"tenant_id = '{scope.tenant}'" in conditions[0]
    assert ("user_id = 'u1'" in conditions[0]) == (user is not None)


async def test_what_is_known_is_checked_in_the_tenants_part_of_the_index_alone(
    unanalysed: tuple[Database, Scope],
) -> None:
    database, scope = unanalysed

    async with database.tenant(scope, read_only=True) as tx:
        call = vectors.version_call(tx.scope, tx.names)
        plan = await tx.explain(call.statement, **call.params)

    (scanned,) = (line for line in plan if " Scan" in line)
    assert "Index Only Scan using openmemory_vectors_search" in scanned
    assert any(f"tenant_id = '{scope.tenant}'" in line for line in plan if "Index Cond" in line)


@pytest.mark.parametrize("filters", [Filters(tags=("a",)), Filters(tags_any=("a",)), Filters(metadata={"a": 1})])
async def test_a_filter_by_memory_reads_the_tenants_memories_by_an_index(
    unanalysed: tuple[Database, Scope], filters: Filters
) -> None:
    database, scope = unanalysed

    async with database.tenant(scope) as tx:
        plan = await plan_of_passing(tx, filters)

    assert [line for line in plan if "Seq Scan" in line] == []
    conditions = [line for line in plan if "Index Cond" in line]
    assert len(conditions) == 2
    assert all(scope.tenant in line for line in conditions)


async def test_no_row_of_another_tenant_is_read_and_thrown_away(unanalysed: tuple[Database, Scope]) -> None:
    database, scope = unanalysed

    async with database.tenant(scope) as tx:
        plan = await vectors.explain_rows(tx)

    (scanned,) = (line for line in plan if "Index Only Scan" in line)
    assert "rows=4" in scanned
    assert [line for line in plan if "Removed by Filter" in line] == []


async def test_the_best_are_read_by_their_keys(unanalysed: tuple[Database, Scope]) -> None:
    database, scope = unanalysed
    ids = np.frombuffer(b"".join(uuid4().bytes for _ in range(100)), "V16")
    ranked = Floats(np.ones(100, np.float32))

    async with database.tenant(scope, read_only=True) as tx:
        plan = await tx.explain(
            statement("nearest.nearest", Near),
            ids=Uuids(ids),
            partials=ranked,
            weights=ranked,
            embedding=np.ones(64, np.float32),
            squared_length=64.0,
            k=8,
            min_relevance=None,
            salience_share=0.03,
            now=datetime.now(UTC),
        )

    scans = [line for line in plan if "openmemory_" in line]
    assert len(scans) == 2
    assert all("Index Scan using" in line and "_pkey" in line for line in scans)
    assert all(scope.tenant in line for line in plan if "Index Cond" in line)
