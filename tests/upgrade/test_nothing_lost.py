"""No old row is lost without a word: the rows must add up, all of them be seen, and be read where they lie."""

from pathlib import Path

import psycopg
import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.upgrade.old_databases import verify
from tests.upgrade.test_script import psql

PLAN = Plan(1536)
NAME = "legacy-pre-pgvector"
ROWS = {"memories": 568, "vectors": 715, "waypoints": 568, "users": 9}


class Stopped(Exception):
    """Ends an upgrade from outside."""


def assert_whole(place: Place, shared: Path) -> None:
    """Compare what came across with what was recorded, bit for bit and table by table."""
    said = verify(place, shared, NAME)
    assert (said["identical"], said["missing"], said["extra"], said["fell"]) == (715, [], [], {})
    with place.owner() as connection:
        for table, rows in ROWS.items():
            counted = connection.execute(f"SELECT count(*) FROM openmemory_{table}".encode()).fetchone()
            assert counted == (rows,), table


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("DELETE FROM openmemory_new_public.openmemory_memories WHERE content LIKE 'A%'", "memories: 568 old rows"),
        ("DELETE FROM openmemory_new_public.openmemory_vectors WHERE sector = 'semantic'", "vectors: 715 old rows"),
        ("UPDATE openmemory_new_public.openmemory_vectors SET embedding = NULL", "vectors: 715 old rows, 0 new ones"),
        ("DELETE FROM openmemory_new_public.openmemory_waypoints WHERE weight < 0.5", "waypoints: 568 old rows"),
        ("DELETE FROM openmemory_new_public.openmemory_users WHERE user_id = 'bob'", "users: 9 old rows, 8 new ones"),
    ],
)
def test_where_the_rows_do_not_add_up_nothing_is_exchanged_and_there_is_a_way_out(
    old: Place, shared: Path, loss: str, said: str
) -> None:
    for step in STEPS[:4]:
        upgrade(old.logins.owner, old.names, PLAN, only=step)
    file = script(old.logins.owner, old.names, PLAN, STEPS[4])
    with old.owner() as connection:
        connection.execute(loss.encode())
        way_out = "--down, and begin again with openmemory migrate$"
        with pytest.raises(ConfigurationError, match=rf"do not add up: .*{said}.*{way_out}"):
            upgrade(old.logins.owner, old.names, PLAN)
        assert said in psql(old, file).stderr
        assert connection.execute("SELECT count(v) FROM openmemory_vectors").fetchone() == (715,)
    assert "exchanged_at" not in state(old.logins.owner, old.names)
    down(old.logins.owner, old.names)
    upgrade(old.logins.owner, old.names, PLAN)
    assert_whole(old, shared)


@pytest.mark.parametrize(
    ("table", "begun"), [("vectors", 0), ("memories", 1), ("waypoints", 1), ("users", 1), ("vectors", 2)]
)
def test_a_policy_that_hides_old_rows_is_refused_with_the_remedy(
    old: Place, shared: Path, table: str, begun: int
) -> None:
    step = STEPS[begun]
    for one in STEPS[:begun]:
        upgrade(old.logins.owner, old.names, PLAN, only=one)
    file = script(old.logins.owner, old.names, PLAN, step)
    role, name = old.with_role(), f"openmemory_{table}"
    with old.owner() as connection:
        connection.execute(f"ALTER TABLE {name} OWNER TO {role}".encode())
        connection.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".encode())
        if begun:
            connection.execute(f"ALTER TABLE openmemory_upgrade OWNER TO {role}".encode())
        remedy = f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY"
        with pytest.raises(ConfigurationError, match=rf"may hide rows of {name} from {role}.*{remedy}"):
            upgrade(old.as_role(role), old.names, PLAN, only=step)
        with pytest.raises(ConfigurationError, match=remedy):
            look(old.as_role(role), old.names)
        assert remedy in psql(old, f"SET ROLE {role};\n{file}").stderr
        connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}".encode())
    upgrade(old.logins.owner, old.names, PLAN)
    assert_whole(old, shared)


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
@pytest.mark.parametrize("table", ["memories", "vectors", "waypoints"])
def test_a_table_that_was_rewritten_since_the_upgrade_was_stopped_is_read_anew(
    old: Place, shared: Path, table: str, by: str
) -> None:
    def stop(progress: Progress) -> None:
        if progress.doing == table and progress.done > 150:
            raise Stopped

    with pytest.raises(Stopped):
        upgrade(old.logins.owner, old.names, Plan(1536, batch_size=100), stop)
    with old.owner() as connection:
        connection.execute(f"CLUSTER openmemory_{table} USING openmemory_{table}_pkey".encode())
    if by == "psql":
        done = psql(old, script(old.logins.owner, old.names, PLAN, STEPS[2 if table == "vectors" else 1]))
        assert done.returncode == 0, done.stderr
    upgrade(old.logins.owner, old.names, PLAN)
    assert_whole(old, shared)


def test_a_table_that_was_dropped_and_restored_meanwhile_is_refused_with_the_way_out(old: Place, shared: Path) -> None:
    for step in STEPS[:2]:
        upgrade(old.logins.owner, old.names, PLAN, only=step)
    with old.owner() as connection:
        connection.execute(
            "CREATE TABLE restored (LIKE openmemory_vectors INCLUDING ALL);"
            " INSERT INTO restored SELECT * FROM openmemory_vectors ORDER BY id; DROP TABLE openmemory_vectors CASCADE;"
            " ALTER TABLE restored RENAME TO openmemory_vectors"
        )
    with pytest.raises(ConfigurationError, match=r"openmemory_vectors was made anew.*openmemory migrate --down"):
        upgrade(old.logins.owner, old.names, PLAN)
    down(old.logins.owner, old.names)
    upgrade(old.logins.owner, old.names, PLAN)
    assert_whole(old, shared)


def test_a_partitioned_table_is_refused_before_anything_is_begun(old: Place) -> None:
    with old.owner() as connection:
        connection.execute(
            "ALTER TABLE openmemory_memories RENAME TO part;"
            " CREATE TABLE openmemory_memories (LIKE part) PARTITION BY HASH (id);"
            " ALTER TABLE openmemory_memories ATTACH PARTITION part FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        )
    with pytest.raises(ConfigurationError, match="openmemory_memories is no table by itself: it is partitioned"):
        upgrade(old.logins.owner, old.names, PLAN)
    with pytest.raises(ConfigurationError, match="Copy all of its rows into one ordinary table"):
        look(old.logins.owner, old.names)
    assert state(old.logins.owner, old.names) == {}


def test_the_last_file_by_psql_ends_the_upgrade_with_a_way_back(old: Place, shared: Path) -> None:
    for step in STEPS[:4]:
        upgrade(old.logins.owner, old.names, PLAN, only=step)
    paragraphs = script(old.logins.owner, old.names, PLAN, STEPS[4]).split("\n\n")
    exchanged = next(place for place, text in enumerate(paragraphs) if "('exchanged_at', to_char" in text) + 2
    for end in (exchanged, len(paragraphs)):
        done = psql(old, "\n\n".join(paragraphs[:end]))
        assert "ERROR" not in done.stderr, done.stderr
    assert state(old.logins.owner, old.names)["step"] == "done"
    assert_whole(old, shared)
    down(old.logins.owner, old.names)
    with old.owner() as connection, pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute("SELECT tenant_id FROM openmemory_memories")
