"""Back to the old tables as they were, but never over something newer."""

import re
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.standing import repaired
from openmemory.postgres.upgrade.steps import state, upgrade
from openmemory.postgres.upgrade.way_back import down, drop_bytea
from tests.postgres.databases import Place
from tests.upgrade.catalogues import catalogue
from tests.upgrade.old_databases import verify

TABLES = ("openmemory_memories", "openmemory_vectors", "openmemory_waypoints", "openmemory_users", "stats")


def contents(place: Place) -> dict[str, str]:
    """Return a digest of every row of the old tables."""
    said = {}
    with place.owner() as connection:
        for table in TABLES:
            query = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
            row = connection.execute(query.encode()).fetchone()
            said[table] = str(row[0]) if row else ""
    return said


@pytest.mark.parametrize("step", STEPS)
def test_the_old_database_comes_back_as_it_was_from_every_step(old: Place, step: str) -> None:
    before = contents(old)
    with old.owner() as connection:
        catalogued = catalogue(connection, old.names)
        for one in STEPS[: STEPS.index(step) + 1]:
            upgrade(old.logins.owner, old.names, Plan(1536), only=one)
        down(old.logins.owner, old.names)
        assert catalogue(connection, old.names) == catalogued
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^openmemory_'").fetchall() == []
        granted = "SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE a.grantee = to_regrole(%s)"
        assert connection.execute(granted, [old.names.app_role]).fetchall() == []
    assert contents(old) == before
    assert state(old.logins.owner, old.names) == {}


def test_an_odd_count_of_a_user_is_no_change(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_users SET reflection_count = -7 WHERE user_id = 'bob'")
    upgrade(old.logins.owner, old.names, Plan(1536))

    down(old.logins.owner, old.names)


def test_after_going_back_the_upgrade_can_be_done_again(old: Place, shared: Path) -> None:
    for _ in range(2):
        upgrade(old.logins.owner, old.names, Plan(1536))
        assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715
        down(old.logins.owner, old.names)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            "INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('default', 'x')",
            "upgrade: 1 users added. Nothing",
        ),
        ("DELETE FROM openmemory_memories WHERE content = 'true'", "memories deleted"),
        ("UPDATE openmemory_memories SET updated_at = now(), content = 'new'", "568 memories changed"),
        ("UPDATE openmemory_memories SET content = 'new' WHERE content = 'true'", "memories changed"),
        ("DELETE FROM openmemory_waypoints WHERE weight < 0.1", "waypoints deleted"),
        ("UPDATE openmemory_waypoints SET weight = weight / 2", "waypoints changed"),
        ("UPDATE openmemory_users SET summary = 'read anew' WHERE user_id = 'alice'", "1 users changed"),
        ("INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('default', 'new')", "1 users added"),
        ("UPDATE openmemory_memories SET tags = '{new}'", r"568 memories changed \(such as [0-9a-f-]{36}\)"),
        ("UPDATE openmemory_memories SET metadata = metadata || '{\"new\": 1}'", "568 memories changed"),
        ("DELETE FROM openmemory_users", "9 users deleted"),
        (
            "INSERT INTO openmemory_tenants (tenant_id) VALUES ('new');"
            " INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('new', 'ada')",
            "1 tenants added",
        ),
        ("UPDATE openmemory_tenants SET status = 'suspended'", "1 tenants suspended or deleted"),
    ],
)
def test_what_is_newer_than_the_upgrade_is_never_lost(old: Place, change: str, what: str) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    with old.owner() as connection:
        connection.execute(change.encode())
        with pytest.raises(ConfigurationError, match=what):
            down(old.logins.owner, old.names)
    assert state(old.logins.owner, old.names)["step"] == "done"


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ("CREATE VIEW public.report AS SELECT content FROM openmemory_new_public.openmemory_memories", "view report"),
        ("CREATE TABLE openmemory_new_public.notes (said text)", "table notes"),
        ("CREATE VIEW openmemory_new_public.some AS SELECT 1", "view some"),
    ],
)
def test_what_an_owner_made_of_the_tables_that_are_filled_is_not_dropped_unsaid(
    old: Place, own: str, named: str
) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[0])
    with old.owner() as connection:
        connection.execute(own.encode())
        with pytest.raises(ConfigurationError, match=f"{named}.*Nothing was changed"):
            down(old.logins.owner, old.names)
        connection.execute(f"DROP {' '.join(own.split()[1:3])}".encode())
    down(old.logins.owner, old.names)


def test_vectors_that_were_repaired_since_are_counted(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = NULL WHERE sector = 'semantic'")
        upgrade(old.logins.owner, old.names, Plan(1536))
        assert repaired(old.logins.owner, old.names) == 0
        made = connection.execute("UPDATE openmemory_vector_quarantine SET repaired_at = now()").rowcount

    assert repaired(old.logins.owner, old.names) == made > 0


def test_a_tenant_that_only_asked_is_no_loss(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    with old.owner() as connection:
        connection.execute("INSERT INTO openmemory_tenants (tenant_id) VALUES ('passer-by')")

    down(old.logins.owner, old.names)

    assert state(old.logins.owner, old.names) == {}


def test_old_times_that_lie_ahead_and_values_that_were_too_large_come_back_as_they_were(old: Place) -> None:
    with old.owner() as connection:
        connection.execute(
            "UPDATE openmemory_memories SET updated_at = updated_at + 300000000000, salience = 1.7,"
            " last_seen_at = last_seen_at + 400000000000"
        )
    before = contents(old)
    upgrade(old.logins.owner, old.names, Plan(1536))

    down(old.logins.owner, old.names)

    assert contents(old) == before


def test_a_user_whose_name_is_kept_with_a_digest_is_no_change(old: Place) -> None:
    with old.owner() as connection:
        connection.execute(
            "INSERT INTO openmemory_users (user_id, summary, reflection_count) VALUES (repeat('u', 200), 'long', 1)"
        )
    before = contents(old)
    upgrade(old.logins.owner, old.names, Plan(1536))
    down(old.logins.owner, old.names)
    assert contents(old) == before


def test_what_recall_did_is_written_back(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET salience = 0.125, last_seen_at = now() WHERE version = 1")
        down(old.logins.owner, old.names)
        row = connection.execute(
            "SELECT DISTINCT salience, abs(last_seen_at / 1000 - extract(epoch FROM now())) < 60"
            " FROM openmemory_memories WHERE version = 1"
        ).fetchall()
    assert row == [(0.125, True)]


def test_the_old_bytes_are_dropped_only_on_demand_and_there_is_no_way_back_then(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    with old.owner() as connection:
        assert connection.execute("SELECT count(v) FROM openmemory_old_public.openmemory_vectors").fetchone() == (715,)
        assert drop_bytea(old.logins.owner, old.names) == ()
        assert connection.execute("SELECT to_regnamespace('openmemory_old_public')").fetchone() == (None,)
    assert drop_bytea(old.logins.owner, old.names) == ()
    with pytest.raises(ConfigurationError, match="openmemory restore"):
        down(old.logins.owner, old.names)


def test_old_tables_stay_until_the_upgrade_is_finished(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[0])
    with pytest.raises(ConfigurationError, match="not finished"):
        drop_bytea(old.logins.owner, old.names)


def test_the_way_back_does_not_depend_on_how_a_session_writes_dates(old: Place) -> None:
    reading = {**old.logins.owner, "options": "-c timezone=Asia/Kolkata -c datestyle=SQL,DMY"}
    upgrade(reading, old.names, Plan(1536))
    at = state(old.logins.owner, old.names)
    assert all(re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{6}Z", at[name]) for name in ("exchanged_at", "finished_at"))
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET version = version + 1, updated_at = now()")
    with pytest.raises(ConfigurationError, match="568 memories changed"):
        down(old.logins.owner, old.names)
