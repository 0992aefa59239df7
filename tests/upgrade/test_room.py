"""The new tables go where the old vectors lie, and who is waited for is named."""

from collections.abc import Iterator

import psycopg
import pytest

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place, a_name
from tests.upgrade.test_odd_values import ORDINARY, A, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]


@pytest.fixture
def tablespace(odd: Place) -> Iterator[str]:
    """Yield a tablespace in which the old vectors are."""
    name = a_name("room")
    with odd.owner() as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute(f"CREATE TABLESPACE {name} LOCATION ''".encode())
        connection.execute(f"ALTER TABLE openmemory_vectors SET TABLESPACE {name}".encode())
        remember(connection, A)
        yield name
        for kind in ("TABLE", "INDEX"):
            connection.execute(f"ALTER {kind} ALL IN TABLESPACE {name} SET TABLESPACE pg_default".encode())
        connection.execute(f"DROP TABLESPACE {name}".encode())


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_the_new_tables_and_their_indexes_lie_where_the_old_vectors_do(odd: Place, tablespace: str, by: str) -> None:
    assert look(odd.logins.owner, odd.names).tablespace == tablespace
    for step in STEPS[: 4 if by == "psql" else 0]:
        done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
        assert done.returncode == 0, done.stderr
    upgrade(odd.logins.owner, odd.names, ORDINARY)
    with odd.owner() as connection:
        elsewhere = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = reltablespace"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND spcname IS DISTINCT FROM %s"
            " AND relname NOT LIKE 'openmemory_%%quarantine%%' AND relname NOT LIKE 'openmemory_upgrade%%'",
            [tablespace],
        ).fetchall()
    assert elsewhere == []


def test_who_is_waited_for_while_an_index_is_built_is_named(old: Place) -> None:
    told: list[str] = []
    with psycopg.connect(**old.logins.owner, application_name="nightly dump") as reading:  # type: ignore[arg-type]

        def meet(progress: Progress) -> None:
            if (progress.step, progress.doing) == (STEPS[3], "memories key"):
                reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM openmemory_users")
            if ": waits for pid" in progress.doing:
                told.append(progress.doing)
                reading.rollback()

        upgrade(old.logins.owner, old.names, Plan(1536), meet)
    assert "nightly dump" in told[0]
