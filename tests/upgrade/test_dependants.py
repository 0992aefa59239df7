"""What an owner has made of the old tables is named before they go aside, and nothing of it goes without a word."""

import pytest
from psycopg import errors

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import down, drop_bytea, foreign_keys
from tests.postgres.databases import Place

VIEW = "CREATE VIEW report AS SELECT count(*) AS memories FROM openmemory_memories"
NOTES = "CREATE TABLE notes (memory uuid CONSTRAINT about REFERENCES openmemory_memories (id))"


def execute(old: Place, statements: str) -> None:
    """Change the database as its owner."""
    with old.owner() as connection:
        connection.execute(statements.encode())


def test_everything_that_stays_with_the_old_tables_is_named_with_what_becomes_of_it(old: Place) -> None:
    assert look(old.logins.owner, old.names).dependants == ()
    role = old.with_role()
    execute(
        old,
        f"{VIEW}; {NOTES}; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM openmemory_vectors;"
        f'GRANT SELECT ON openmemory_users TO "{role}";'
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER noting AFTER INSERT ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION noted();"
        "CREATE PUBLICATION published FOR TABLE openmemory_waypoints;"
        "CREATE POLICY shown ON openmemory_users USING (true);"
        "CREATE RULE unsaid AS ON DELETE TO openmemory_waypoints DO INSTEAD NOTHING;"
        "CREATE STATISTICS paired ON src_id, dst_id FROM openmemory_waypoints",
    )
    found = look(old.logins.owner, old.names).dependants
    assert [(one.kind, one.name, one.of_table) for one in found] == [
        ("foreign key", "about of notes", "openmemory_memories"),
        ("grant", f"SELECT to {role}", "openmemory_users"),
        ("materialized view", "counted", "openmemory_vectors"),
        ("policy", "shown", "openmemory_users"),
        ("publication", "published", "openmemory_waypoints"),
        ("rule", "unsaid", "openmemory_waypoints"),
        ("statistics", "paired", "openmemory_waypoints"),
        ("trigger", "noting", "openmemory_memories"),
        ("view", "report", "openmemory_memories"),
    ]
    assert all(one.becomes for one in found)


def test_the_old_tables_are_not_dropped_under_a_view_and_it_is_named(old: Place) -> None:
    execute(old, VIEW)
    upgrade(old.logins.owner, old.names, Plan(1536))
    with pytest.raises(ConfigurationError, match=r"view report\. Nothing was changed\. Drop it, or make it anew"):
        drop_bytea(old.logins.owner, old.names)
    execute(old, "CREATE OR REPLACE VIEW report AS SELECT count(*) AS memories FROM public.openmemory_memories")
    assert drop_bytea(old.logins.owner, old.names) == ()


def test_a_foreign_key_that_goes_with_the_old_tables_is_known_beforehand(old: Place) -> None:
    execute(old, NOTES)
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert foreign_keys(old.logins.owner, old.names) == ("about of notes",)
    assert drop_bytea(old.logins.owner, old.names) == ("about of notes",)


def test_the_new_tables_are_not_dropped_under_a_view(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    execute(old, VIEW)
    with pytest.raises(ConfigurationError, match="view report"):
        down(old.logins.owner, old.names)
    execute(old, "DROP VIEW report")
    down(old.logins.owner, old.names)


def test_what_ends_the_dropping_is_not_said_to_go_on(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    execute(old, "CREATE TABLE others (memory openmemory_old_public.openmemory_memories)")
    with pytest.raises(ConfigurationError) as refused:
        drop_bytea(old.logins.owner, old.names)
    assert isinstance(refused.value.__cause__, errors.DependentObjectsStillExist)
    assert "Something else stands on it" in str(refused.value)
    assert str(refused.value).endswith("Nothing was changed")


def test_a_database_of_which_all_tables_are_published_is_lifted(old: Place) -> None:
    execute(old, "CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION own FOR TABLES IN SCHEMA public")
    found = look(old.logins.owner, old.names).dependants
    assert [(one.kind, one.name) for one in found] == [
        ("publication of all tables", "everything"),
        ("publication of the schema", "own"),
    ]
    upgrade(old.logins.owner, old.names, Plan(1536))
    down(old.logins.owner, old.names)
