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


def test_what_ends_the_dropping_is_named_and_not_said_to_go_on(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    execute(old, "CREATE TABLE openmemory_old_public.others (memory uuid)")
    with pytest.raises(ConfigurationError) as refused:
        drop_bytea(old.logins.owner, old.names)
    assert isinstance(refused.value.__cause__, errors.DependentObjectsStillExist)
    assert "Something else stands on it (table openmemory_old_public.others depends on schema" in str(refused.value)
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


OF_ROWS = """
CREATE FUNCTION recent(n int) RETURNS SETOF openmemory_memories LANGUAGE sql
    AS 'SELECT * FROM openmemory_memories ORDER BY created_at DESC LIMIT n';
CREATE FUNCTION said(one openmemory_memories) RETURNS text LANGUAGE sql AS 'SELECT one.content';
CREATE FUNCTION counted(users openmemory_users[]) RETURNS int LANGUAGE sql AS 'SELECT cardinality(users)';
CREATE FUNCTION joined(so_far text, one openmemory_memories) RETURNS text LANGUAGE sql AS 'SELECT so_far';
CREATE AGGREGATE all_said(openmemory_memories) (SFUNC = joined, STYPE = text);
CREATE PROCEDURE keep(one openmemory_memories) LANGUAGE sql AS 'SELECT 1';
CREATE DOMAIN a_user AS openmemory_users;
CREATE FUNCTION of_domain(one a_user) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE others (memory openmemory_memories, links openmemory_waypoints[] DEFAULT '{}'::openmemory_waypoints[]);
CREATE TYPE pair AS (one openmemory_vectors, number int);
CREATE OPERATOR # (RIGHTARG = openmemory_memories, FUNCTION = said);
CREATE CAST (openmemory_memories AS text) WITH FUNCTION said(openmemory_memories);
CREATE VIEW none_yet AS SELECT NULL::openmemory_users AS someone
"""
FOUND = {
    ("aggregate", "all_said(openmemory_memories)", "openmemory_memories"),
    ("cast", "(public.openmemory_memories AS pg_catalog.text)", "openmemory_memories"),
    ("column", "links of others", "openmemory_waypoints"),
    ("column", "memory of others", "openmemory_memories"),
    ("column", "one of pair", "openmemory_vectors"),
    ("function", "counted(openmemory_users[])", "openmemory_users"),
    ("function", "joined(text,openmemory_memories)", "openmemory_memories"),
    ("function", "of_domain(a_user)", "openmemory_users"),
    ("function", "recent(integer)", "openmemory_memories"),
    ("function", "said(openmemory_memories)", "openmemory_memories"),
    ("object", "default value for public.others.links", "openmemory_waypoints"),
    ("operator", "public.#(NONE,public.openmemory_memories)", "openmemory_memories"),
    ("procedure", "keep(openmemory_memories)", "openmemory_memories"),
    ("type", "public.a_user", "openmemory_users"),
    ("view", "none_yet", "openmemory_users"),
}


def test_what_is_made_of_rows_of_the_old_tables_is_named(old: Place) -> None:
    execute(old, OF_ROWS)
    found = look(old.logins.owner, old.names).dependants
    assert {(one.kind, one.name, one.of_table) for one in found} == FOUND
    assert all(one.becomes for one in found)


def test_the_old_tables_are_not_dropped_under_what_is_made_of_their_rows(old: Place) -> None:
    execute(old, OF_ROWS)
    upgrade(old.logins.owner, old.names, Plan(1536))
    with pytest.raises(
        ConfigurationError, match=r"to be dropped: .*; function recent\(integer\); .*Nothing was changed"
    ):
        drop_bytea(old.logins.owner, old.names)
    execute(
        old,
        "DROP VIEW none_yet; DROP CAST (openmemory_old_public.openmemory_memories AS text);"
        "DROP OPERATOR # (NONE, openmemory_old_public.openmemory_memories); DROP TYPE pair; DROP TABLE others;"
        "DROP FUNCTION of_domain; DROP DOMAIN a_user; DROP PROCEDURE keep;"
        "DROP AGGREGATE all_said(openmemory_old_public.openmemory_memories);"
        "DROP FUNCTION recent, said, counted, joined",
    )
    execute(old, OF_ROWS.partition(";")[0])
    assert drop_bytea(old.logins.owner, old.names) == ()


def test_the_new_tables_are_not_dropped_under_a_function_of_their_rows(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536))
    execute(old, OF_ROWS.partition(";")[0])
    with pytest.raises(ConfigurationError, match=r"function recent\(integer\)"):
        down(old.logins.owner, old.names)
    execute(old, "DROP FUNCTION recent")
    down(old.logins.owner, old.names)


INHERITED = (
    "CREATE TABLE everything (LIKE openmemory_memories); ALTER TABLE openmemory_memories INHERIT everything",
    ("parent", "everything", "openmemory_memories"),
    'ALTER TABLE "openmemory_old_public"."openmemory_memories" NO INHERIT everything',
)
PARTITION = (
    "CREATE TABLE everything (LIKE openmemory_users) PARTITION BY LIST (user_id);"
    "ALTER TABLE everything ATTACH PARTITION openmemory_users DEFAULT",
    ("partitioned table", "everything", "openmemory_users"),
    'ALTER TABLE everything DETACH PARTITION "openmemory_old_public"."openmemory_users"',
)


@pytest.mark.parametrize(("made", "named", "way_out"), [INHERITED, PARTITION], ids=["inherited", "partition"])
def test_old_rows_are_not_taken_out_of_another_table_without_a_word(
    old: Place, made: str, named: tuple[str, str, str], way_out: str
) -> None:
    execute(old, made)
    found = look(old.logins.owner, old.names).dependants
    assert [(one.kind, one.name, one.of_table) for one in found] == [named]
    assert "goes on showing the old rows" in found[0].becomes
    upgrade(old.logins.owner, old.names, Plan(1536))
    with old.owner() as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM everything").fetchall()
        assert rows == {"openmemory_memories": 568, "openmemory_users": 9}[named[2]]
        with pytest.raises(ConfigurationError, match="Nothing was changed") as refused:
            drop_bytea(old.logins.owner, old.names)
        assert way_out in str(refused.value)
        connection.execute(way_out.encode())
    assert drop_bytea(old.logins.owner, old.names) == ()
