"""Whatever a tenant is called, the string that opens its transaction names it and does nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openmemory.app import Logins
from openmemory.core.scope import NAME_MAX_BYTES, Scope, name_problem
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.rows import rows_of
from openmemory.postgres.statements import Names, Statement


@dataclass(frozen=True)
class _Seen:
    role: str
    tenant: str
    others: int
    timeout: str


_NAMED = Statement(
    "names.named",
    "WITH kept AS (INSERT INTO {users} (tenant_id, user_id) VALUES (%(tenant)s, 'u') ON CONFLICT DO NOTHING)"
    " SELECT current_user::text AS role, current_setting('app.current_tenant') AS tenant,"
    " (SELECT count(*) FROM {users} WHERE tenant_id <> %(tenant)s) AS others,"
    " current_setting('statement_timeout') AS timeout",
    _Seen,
    rows_of(_Seen),
)


@dataclass(frozen=True)
class _Timeout:
    timeout: str


_TIMEOUT = Statement(
    "names.timeout", "SELECT current_setting('statement_timeout') AS timeout", _Timeout, rows_of(_Timeout)
)

tenant_names = st.text(min_size=1, max_size=NAME_MAX_BYTES).filter(lambda text: name_problem(text) is None)


@pytest.fixture(scope="session")
async def opened(logins: Logins, names: Names) -> AsyncIterator[tuple[Database, Database]]:
    """Yield a pool that sends its settings with each transaction, and one that sends them once a session."""
    limits = PoolLimits(most=1)
    async with (
        Database(logins.server, names, limits, 7_000, behind_pooler=True) as pooled,
        Database(logins.server, names, limits, 7_000, behind_pooler=False) as direct,
    ):
        yield pooled, direct


@settings(deadline=None, max_examples=60)
@given(tenant_names)
@example("'; RESET ROLE; --")
@example("\\'; RESET ROLE; --")
@example("'' || current_user")
@example("\\")
@example("a\\")
@example("'")
@example("''''")
@example("$$")
@example("$1")
@example("%s %(tenant)s %")
@example("{schema}")
@example("default")
@example("DEFAULT")
@example('"')
@example("--")
@example("/*")
@example(" ")
@example(" padded ")
@example("ключ 鍵 مفتاح")
@example("🔑" * 32)
@example("x" * NAME_MAX_BYTES)
@example("\u2028\u202e\ufeff")
@example("e\u0301")
@example("\u00e9")
async def test_a_tenants_name_goes_through_the_opening_string_unchanged(
    opened: tuple[Database, Database], tenant: str
) -> None:
    for database in opened:
        async with database.tenant(Scope(tenant)) as tx:
            seen = await tx.one(_NAMED)

        assert seen == _Seen("openmemory_app", tenant, 0, "7s")


async def test_the_registrys_statements_have_the_same_time(opened: tuple[Database, Database]) -> None:
    for database in opened:
        async with database.registry() as tx:
            assert await tx.one(_TIMEOUT) == _Timeout("7s")


@given(st.text())
def test_a_name_is_either_refused_or_fit_for_postgresql(text: str) -> None:
    if name_problem(text) is None:
        assert 0 < len(text.encode()) <= NAME_MAX_BYTES
        assert "\0" not in text
