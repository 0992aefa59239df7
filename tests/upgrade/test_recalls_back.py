"""What recall did since an upgrade goes back with the old tables, whatever types their columns have."""

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.steps import state
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import A, lift, memory, odd, remember
from tests.upgrade.test_types import INSTANT, MS, retype

__all__ = ["odd"]

LATER = "2024-01-02 03:04:05.678"
LATER_MS = "1704164645678"
INSERTED = (
    "INSERT INTO openmemory_memories (id, content, primary_sector, salience) VALUES (%s, 'kept', 'semantic', 0.4)"
)
RECALLED = f"UPDATE openmemory_memories SET salience = 0.69, salience_at = now(), last_seen_at = '{LATER}+00'"


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        ("bigint", MS, LATER_MS),
        ("numeric", MS, LATER_MS),
        ("double precision", MS, LATER_MS),
        ("text", str(MS), LATER_MS),
        ("varchar(20)", str(MS), LATER_MS),
        ("timestamptz", f"{INSTANT}+00", f"{LATER}+00"),
        ("timestamp(3)", INSTANT, LATER),
    ],
)
def test_a_recall_is_written_back_in_the_type_of_the_old_column(odd: Place, type_: str, old: object, new: str) -> None:
    with odd.owner() as connection:
        retype(connection, "last_seen_at", type_)
        remember(connection, A, last_seen_at=old, salience=0.4)
        lift(odd)
        connection.execute(RECALLED.encode())

        down(odd.logins.owner, odd.names)

        connection.execute("SET TimeZone = 'UTC'; SET extra_float_digits = 1")
        assert memory(connection, A, "last_seen_at::text, salience") == (new, 0.69)


@pytest.mark.parametrize(("type_", "wanted"), [("text", "0.69"), ("numeric", "0.69"), ("real", "0.69")])
def test_so_is_a_salience(odd: Place, type_: str, wanted: str) -> None:
    with odd.owner() as connection:
        retype(connection, "salience", type_)
        remember(connection, A, salience="0.4")
        lift(odd)
        connection.execute(RECALLED.encode())

        down(odd.logins.owner, odd.names)

        assert memory(connection, A, "last_seen_at::text, salience::text") == (LATER_MS, wanted)


@pytest.mark.parametrize(
    ("column", "type_", "old"),
    [
        ("last_seen_at", "integer", 1_700_000_000),
        ("last_seen_at", "date", None),
        ("last_seen_at", "varchar(10)", "1700000000"),
        ("last_seen_at", "jsonb", None),
        ("salience", "integer", 1),
        ("salience", "numeric(1, 1)", "0.4"),
        ("salience", "date", None),
    ],
)
def test_where_the_old_column_cannot_hold_it_the_way_back_is_refused_and_the_remedy_opens_it(
    odd: Place, column: str, type_: str, old: object
) -> None:
    with odd.owner() as connection:
        retype(connection, column, type_)
        remember(connection, A, **{column: old})
        lift(odd)
        connection.execute(RECALLED.encode())

        with pytest.raises(ConfigurationError, match=f"recalled since .*{column} .*Nothing was changed") as refused:
            down(odd.logins.owner, odd.names)
        assert state(odd.logins.owner, odd.names)["step"] == "done"

        connection.execute(str(refused.value).partition("Run ")[2].partition(";")[0].encode())
        down(odd.logins.owner, odd.names)
        assert memory(connection, A, "last_seen_at::text, salience") == (LATER_MS, 0.69)


def test_a_column_that_is_not_there_is_asked_for(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories DROP COLUMN last_seen_at")
        connection.execute(INSERTED, [A])
        lift(odd)
        connection.execute(RECALLED.encode())

        with pytest.raises(ConfigurationError, match=r"ADD COLUMN \"last_seen_at\" bigint;") as refused:
            down(odd.logins.owner, odd.names)

        connection.execute(str(refused.value).partition("Run ")[2].partition(";")[0].encode())
        down(odd.logins.owner, odd.names)
        assert memory(connection, A, "last_seen_at::text, salience") == (LATER_MS, 0.69)


def test_without_a_recall_no_type_is_in_the_way(odd: Place) -> None:
    with odd.owner() as connection:
        retype(connection, "last_seen_at", "date")
        remember(connection, A, last_seen_at=None)
        lift(odd)

        down(odd.logins.owner, odd.names)

        assert memory(connection, A, "last_seen_at, salience") == (None, 0.5)


HOOKS = """
CREATE TABLE audit (what text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN new.version := old.version + 1; INSERT INTO audit VALUES (tg_name); RETURN new; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no update'; END $$;
CREATE TRIGGER "touch it" BEFORE UPDATE ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER always BEFORE UPDATE ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER elsewhere BEFORE UPDATE ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER never BEFORE UPDATE ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION touch();
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON openmemory_memories DEFERRABLE INITIALLY DEFERRED
   FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE RULE log AS ON UPDATE TO openmemory_memories DO ALSO INSERT INTO audit VALUES ('rule');
ALTER TABLE openmemory_memories ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER elsewhere, DISABLE TRIGGER never
"""
STATES = (
    "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'openmemory_memories'::regclass"
    " AND NOT tgisinternal UNION ALL SELECT rulename, ev_enabled::text FROM pg_rewrite"
    " WHERE ev_class = 'openmemory_memories'::regclass ORDER BY 1"
)


def test_the_owners_triggers_do_not_fire_when_a_recall_is_written_back_and_stay_as_they_were(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A, version=3)
        connection.execute(HOOKS.encode())
        before = connection.execute(STATES.encode()).fetchall()
        assert {state for _, state in before} == {"O", "A", "R", "D"}
        lift(odd)
        connection.execute(RECALLED.encode())

        down(odd.logins.owner, odd.names)

        assert memory(connection, A, "version, salience, last_seen_at::text") == (3, 0.69, LATER_MS)
        assert connection.execute("SELECT * FROM audit").fetchall() == []
        assert connection.execute(STATES.encode()).fetchall() == before


def test_a_deferred_foreign_key_does_not_keep_the_owners_triggers_from_coming_back(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A)
        connection.execute(
            b"CREATE TABLE known_sectors AS SELECT DISTINCT primary_sector FROM openmemory_memories;"
            b" ALTER TABLE known_sectors ADD PRIMARY KEY (primary_sector);"
            b" ALTER TABLE openmemory_memories ADD FOREIGN KEY (primary_sector) REFERENCES known_sectors"
            b" DEFERRABLE INITIALLY DEFERRED"
        )
        connection.execute(HOOKS.encode())
        before = connection.execute(STATES.encode()).fetchall()
        lift(odd)
        connection.execute(RECALLED.encode())

        down(odd.logins.owner, odd.names)

        assert memory(connection, A, "salience, last_seen_at::text") == (0.69, LATER_MS)
        assert connection.execute(STATES.encode()).fetchall() == before
