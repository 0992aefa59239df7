"""Numbers keep every bit where a database or a login has a float8 written with fewer digits."""

import pytest
from psycopg import sql

from openmemory.postgres.direct import patient
from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import ORDINARY, A, lift, memory, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

SCORE, WEIGHT = -0.07929052706420736, 0.12345678901234568


def with_few_digits(place: Place) -> None:
    """Have every session of the database begin with fewer digits than a float8 has."""
    with place.owner() as connection:
        database = sql.Identifier(str(place.logins.owner["dbname"]))
        connection.execute(sql.SQL("ALTER DATABASE {} SET extra_float_digits = 0").format(database))


@pytest.mark.parametrize("by_psql", [0, 3])
def test_old_numbers_that_are_noted_or_set_aside_are_not_rounded(odd: Place, by_psql: int) -> None:
    with odd.owner() as connection:
        remember(connection, A, feedback_score=SCORE)
        link = "INSERT INTO openmemory_waypoints VALUES (%s, 'gone', 'ada', %s, 1, 2)"
        connection.execute(link, [A, WEIGHT])
    with_few_digits(odd)
    for step in STEPS[:by_psql]:
        assert psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step)).returncode == 0
    lift(odd)
    with odd.owner() as connection:
        assert memory(connection, A, "metadata -> 'openmemory_old'") == ({"feedback_score": SCORE},)
        aside = connection.execute("SELECT original -> 'weight' FROM openmemory_row_quarantine").fetchall()
    assert aside == [(WEIGHT,)]


def test_work_of_the_owners_reads_every_digit(odd: Place) -> None:
    with_few_digits(odd)
    with patient(odd.logins.owner) as connection:
        assert connection.execute("SELECT %s::float8::text, to_jsonb(%s::float8)", [SCORE, SCORE]).fetchone() == (
            str(SCORE),
            SCORE,
        )
