"""What was set aside has the same user by `openmemory migrate` and by psql: the old row's own."""

import pytest

from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import ORDINARY, A, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_a_memory_without_a_vector_is_listed_under_the_old_name_of_its_user(odd: Place, by: str) -> None:
    with odd.owner() as connection:
        remember(connection, A, user_id="ada\u0007")
        for step in STEPS[: 3 if by == "psql" else 0]:
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr
        upgrade(odd.logins.owner, odd.names, ORDINARY)

        found = connection.execute("SELECT user_id, reason FROM openmemory_vector_quarantine").fetchall()
    assert found == [("ada\u0007", "no value")]
