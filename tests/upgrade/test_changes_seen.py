"""What SQL changed since an upgrade, though it left the time of the last change alone, is no less newer than it."""

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import FACTS, A, B, lift, odd, remember

__all__ = ["odd"]

FACT = (
    "INSERT INTO temporal_facts (id, subject, predicate, object, valid_from, confidence, last_updated, metadata)"
    " VALUES ('f', 'Ada', 'lives in', 'Lisbon', 1700000000001, 0.5, NULL, '{\"k\": 1}')"
)
LINK = f"INSERT INTO openmemory_waypoints VALUES ('{A}', '{B}', 'ada', 0.5, 1700000000001, 1700000000002)"


@pytest.fixture
def lifted(odd: Place) -> Place:
    """Return an upgraded database of two memories, a link, and a fact that says of no time when it was written."""
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute("ALTER TABLE temporal_facts ALTER last_updated DROP NOT NULL")
        remember(connection, A, user_id="ada", salience=1.7, decay_lambda=-1.0)
        remember(connection, B, user_id="ada\u0007", created_at=None, primary_sector="dreams")
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, v, dim) VALUES (%s, 'episodic', '\\x00000000', 1)", [A]
        )
        connection.execute("INSERT INTO openmemory_users (user_id, created_at) VALUES ('eve', 1700000000001)")
        connection.execute(LINK.encode())
        connection.execute(FACT.encode())
    lift(odd)
    return odd


@pytest.mark.parametrize(
    ("table", "change"),
    [
        *(
            ("memories", change)
            for change in (
                "user_id = 'grace'",
                "user_id = NULL",
                "project_id = 'p'",
                "primary_sector = 'procedural'",
                "sectors = 31",
                "salience = 0.25",
                "decay_rate = 0.25",
                "occurred_at = '2020-01-01'",
                "created_at = '2020-01-01'",
                "session_id = 's'",
                "speaker = 'ada'",
            )
        ),
        *(
            ("facts", change)
            for change in (
                "valid = '[2020-01-01,2021-01-01)'",
                "metadata = '{}'",
                "last_updated = now()",
                "user_id = 'grace'",
                "project_id = 'p'",
            )
        ),
        *(("waypoints", change) for change in ("user_id = 'grace'", "user_id = NULL", "created_at = now()")),
        *(("users", change) for change in ("created_at = '2020-01-01'", "updated_at = now()", "summary = 's'")),
    ],
)
def test_a_change_of_any_column_is_seen(lifted: Place, table: str, change: str) -> None:
    named = "temporal_facts" if table == "facts" else f"openmemory_{table}"
    with lifted.owner() as connection:
        changed = connection.execute(f"UPDATE {named} SET {change}".encode()).rowcount

        with pytest.raises(ConfigurationError, match=f"{changed} {table} changed"):
            down(lifted.logins.owner, lifted.names)


def test_what_came_otherwise_than_it_was_is_no_change(lifted: Place) -> None:
    down(lifted.logins.owner, lifted.names)

    with lifted.owner() as connection:
        found = connection.execute("SELECT salience, decay_lambda, user_id FROM openmemory_memories ORDER BY id")
        assert found.fetchall() == [(1.7, -1.0, "ada"), (0.5, 0.005, "ada\u0007")]
