"""Times and numbers in columns of other types: read exactly, or refused with what makes them readable."""

import re

import pytest
from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, FACTS, ORDINARY, WRITTEN, A, B, lift, memory, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

MS = 1_700_000_000_001
INSTANT = "2023-11-14 22:13:20.001000"
VERSION, SALIENCE = "version::text", "salience::text"


def retype(connection: Connection, column: str, type_: str, table: str = "memories") -> None:
    """Give an empty old table a column of another type."""
    connection.execute(
        f"ALTER TABLE openmemory_{table} ALTER {column} DROP DEFAULT, ALTER {column} TYPE {type_} USING NULL".encode()
    )


@pytest.mark.parametrize(
    ("column", "type_", "old", "wanted", "new"),
    [
        ("created_at", "integer", 86_400_001, WRITTEN, "1970-01-02 00:00:00.001000"),
        ("created_at", "text", f" {MS} ", WRITTEN, INSTANT),
        ("created_at", "varchar(20)", f"{MS}.0", WRITTEN, INSTANT),
        ("created_at", "character(20)", str(MS), WRITTEN, INSTANT),
        ("created_at", "text", "", WRITTEN, "2023-11-14 22:13:20.002000"),
        ("created_at", "numeric", MS, WRITTEN, INSTANT),
        ("created_at", "numeric(20, 3)", MS, WRITTEN, INSTANT),
        ("created_at", "double precision", MS, WRITTEN, INSTANT),
        ("created_at", "timestamp(3)", INSTANT, WRITTEN, INSTANT),
        ("created_at", "timestamptz", f"{INSTANT}+00", WRITTEN, INSTANT),
        ("created_at", "date", None, WRITTEN, "2023-11-14 22:13:20.002000"),
        ("version", "text", "7", VERSION, "7"),
        ("version", "bigint", 7, VERSION, "7"),
        ("version", "double precision", 7, VERSION, "7"),
        ("version", "date", None, VERSION, "1"),
        ("salience", "text", "2.5e-1", SALIENCE, "0.25"),
        ("salience", "numeric", "0.25", SALIENCE, "0.25"),
        ("salience", "real", 0.25, SALIENCE, "0.25"),
        ("salience", "integer", 1, SALIENCE, "1"),
    ],
)
def test_what_can_be_read_exactly_is(
    odd: Place, column: str, type_: str, old: object, wanted: str, new: object
) -> None:
    with odd.owner() as connection:
        retype(connection, column, type_)
        remember(connection, A, **{column: old})
        lift(odd)
        assert memory(connection, A, wanted) == (new,)
        assert memory(connection, A, "metadata") == ({"source": "chat"},)


@pytest.mark.parametrize(
    ("column", "type_", "old", "wanted", "new"),
    [
        ("created_at", "date", "2023-11-14", WRITTEN, "2023-11-14 00:00:00.000000"),
        ("updated_at", "text", f"{INSTANT}Z", WRITTEN.replace("created", "updated"), INSTANT),
        ("created_at", "numeric", f"{MS}.25", WRITTEN, INSTANT),
        ("created_at", "double precision", MS + 0.25, WRITTEN, INSTANT),
        ("created_at", "numeric", "1e30", WRITTEN, "2023-11-14 22:13:20.002000"),
        ("created_at", "double precision", "NaN", WRITTEN, "2023-11-14 22:13:20.002000"),
        ("created_at", "timestamptz[]", [f"{INSTANT}+00"], WRITTEN, "2023-11-14 22:13:20.002000"),
        ("last_seen_at", "jsonb", str(MS), "extract(epoch FROM last_seen_at)::text", "1700000000.002000"),
        ("version", "text", "v7", VERSION, "1"),
        ("version", "bigint", 2**40, VERSION, "2000000000"),
        ("version", "numeric", "1.5", VERSION, "2"),
        ("version", "date", "2023-11-14", VERSION, "1"),
        ("salience", "text", "high", SALIENCE, "0.5"),
        ("salience", "numeric", "1e-320", SALIENCE, "0"),
        ("feedback_score", "boolean", True, SALIENCE, "0.5"),
    ],
)
def test_what_cannot_is_refused_before_anything_is_done_and_its_remedy_helps(
    odd: Place, column: str, type_: str, old: object, wanted: str, new: object
) -> None:
    with odd.owner() as connection:
        retype(connection, column, type_)
        remember(connection, A, **{column: old})
        remember(connection, B, **{column: None})
        said = "the column {} of .*openmemory_memories.* is of type .*, and 1 of its values, such as that of {}, "
        with pytest.raises(ConfigurationError, match=said.format(column, A)) as refused:
            look(odd.logins.owner, odd.names)
        for refusing in (
            lambda: upgrade(odd.logins.owner, odd.names, ORDINARY),
            lambda: script(odd.logins.owner, odd.names, ORDINARY, STEPS[0]),
        ):
            with pytest.raises(ConfigurationError, match=re.escape(str(refused.value))):
                refusing()
        assert state(odd.logins.owner, odd.names) == {}
        connection.execute(remedy(refused.value))
        lift(odd)
        assert memory(connection, A, wanted) == (new,)


def test_once_an_upgrade_is_begun_the_way_to_the_remedy_is_back(odd: Place) -> None:
    with odd.owner() as connection:
        retype(connection, "version", "text")
        remember(connection, A, version="7")
        upgrade(odd.logins.owner, odd.names, ORDINARY, only=STEPS[0])
        connection.execute(
            "ALTER TABLE openmemory_memories DISABLE TRIGGER openmemory_upgrade_guard;"
            "UPDATE openmemory_memories SET version = 'v7';"
            "ALTER TABLE openmemory_memories ENABLE ALWAYS TRIGGER openmemory_upgrade_guard"
        )
        with pytest.raises(
            ConfigurationError, match=r"Go back first: `openmemory migrate --down`\. .*UPDATE"
        ) as refused:
            lift(odd)
        down(odd.logins.owner, odd.names)
        connection.execute(remedy(refused.value))
        lift(odd)
        assert memory(connection, A, "version") == (1,)


def remedy(refused: ConfigurationError) -> bytes:
    """Return the statement that a refusal names."""
    found = re.search(r"Run ((ALTER TABLE|UPDATE) [^;]*);", str(refused))
    assert found is not None
    return found[1].encode()


def test_columns_of_every_old_table_are_looked_at(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        retype(connection, "updated_at", "date", "users")
        retype(connection, "weight", "text", "waypoints")
        retype(connection, "dim", "text", "vectors")
        connection.execute(
            "ALTER TABLE temporal_facts ALTER valid_to TYPE date USING NULL;"
            "INSERT INTO openmemory_users (user_id, updated_at) VALUES ('ada', '2024-01-01');"
            "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight) VALUES ('a', 'b', 'ada', 'heavy');"
            "INSERT INTO openmemory_vectors (id, sector, dim) VALUES (gen_random_uuid(), 'semantic', 'four');"
            "INSERT INTO temporal_facts VALUES ('f', 'Ada', 'is', 'kind', 1, '2024-01-01', 1, 1, '{}')"
        )
    with pytest.raises(ConfigurationError) as refused:
        look(odd.logins.owner, odd.names)
    said = str(refused.value)
    for column, example in (("updated_at", "ada"), ("weight", "a to b"), ("dim", "[0-9a-f-]{36}"), ("valid_to", "f")):
        assert re.search(f"the column {column} of .*such as that of {example},", said)


@pytest.mark.parametrize(
    ("table", "key", "drop"),
    [
        ("users", r"ctid ", ("user_id",)),
        ("waypoints", "b", ("src_id",)),
        ("waypoints", "ctid ", ("src_id", "dst_id")),
    ],
)
def test_a_row_without_the_columns_of_its_key_is_named_by_what_it_has(
    odd: Place, table: str, key: str, drop: tuple[str, ...]
) -> None:
    with odd.owner() as connection:
        retype(connection, "updated_at", "date", table)
        columns = (
            "(user_id) VALUES ('ada')"
            if table == "users"
            else "(src_id, dst_id, user_id, weight) VALUES ('a', 'b', 'c', 1)"
        )
        connection.execute(f"INSERT INTO openmemory_{table} {columns}".encode())
        connection.execute(f"UPDATE openmemory_{table} SET updated_at = '2024-01-01'".encode())
        for column in drop:
            connection.execute(f"ALTER TABLE openmemory_{table} DROP COLUMN {column} CASCADE".encode())

    with pytest.raises(ConfigurationError, match=f"the column updated_at of .*such as that of {key}"):
        look(odd.logins.owner, odd.names)


def test_a_domain_is_read_as_the_type_that_it_is_of(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("CREATE DOMAIN instant AS timestamptz(3)")
        retype(connection, "created_at", "instant")
        remember(connection, A, created_at=f"{INSTANT}+00")
        lift(odd)
        assert memory(connection, A, WRITTEN) == (INSTANT,)


def test_a_domain_of_a_domain_is_read_as_the_type_at_its_end(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(
            "CREATE DOMAIN amount AS numeric(20, 3); CREATE DOMAIN price AS amount; CREATE DOMAIN p AS price"
        )
        retype(connection, "version", "p")
        remember(connection, A, version=6)
        lift(odd)
        assert memory(connection, A, "version") == (6,)


def test_other_types_are_read_by_psql_as_by_migrate(odd: Place) -> None:
    with odd.owner() as connection:
        retype(connection, "created_at", "text")
        retype(connection, "version", "numeric")
        remember(connection, A, created_at=str(MS), version=7)
        for step in STEPS[:2]:
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr
        upgrade(odd.logins.owner, odd.names, ORDINARY)
        assert memory(connection, A, f"{WRITTEN}, version") == (INSTANT, 7)


@pytest.mark.parametrize("type_", ["timestamptz", "timestamp"])
@pytest.mark.parametrize("lost", [f"{INSTANT[:-1]}7", "infinity"])
def test_a_time_that_is_no_millisecond_of_a_user_or_a_link_is_noted_and_foretold(
    odd: Place, type_: str, lost: str
) -> None:
    note = "a time or number of it is none of the new column's; kept as near as that has it"
    with odd.owner() as connection:
        for table in ("users", "waypoints"):
            retype(connection, "updated_at", type_, table)
        remember(connection, A)
        remember(connection, B)
        connection.execute("INSERT INTO openmemory_users (user_id, updated_at) VALUES ('ada', %s)", [lost])
        connection.execute("INSERT INTO openmemory_users (user_id, updated_at) VALUES ('ben', %s)", [INSTANT])
        query = "INSERT INTO openmemory_waypoints VALUES (%s, %s, 'ada', 0.5, 1700000000001, %s)"
        connection.cursor().executemany(query, [(A, B, lost), (B, A, INSTANT)])
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd)
        assert foretold == {f"users: {note}": 1, "vectors: no value": 2, f"waypoints: {note}": 1}
        kept = connection.execute("SELECT id, original ->> 'updated_at' FROM openmemory_row_quarantine ORDER BY source")
        said = f"{lost.replace(' ', 'T')}{'+00:00' if type_ == 'timestamptz' and lost != 'infinity' else ''}"
        assert kept.fetchall() == [("ada", said), (A, said)]


@pytest.mark.parametrize(
    ("column", "type_", "old", "noted"),
    [
        ("salience", "numeric", "0.123456789012345678901234567890", "0.123456789012345678901234567890"),
        ("salience", "numeric", "0.1", None),
        ("salience", "text", " 2.5e-1", None),
        ("decay_lambda", "text", "0.02000000000000000000000000001", "0.02000000000000000000000000001"),
        ("feedback_score", "bigint", 9_007_199_254_740_993, "9007199254740993"),
        ("feedback_score", "bigint", 9_007_199_254_740_992, None),
    ],
)
def test_a_number_that_a_double_does_not_hold_is_noted(
    odd: Place, column: str, type_: str, old: object, noted: str | None
) -> None:
    with odd.owner() as connection:
        retype(connection, column, type_)
        remember(connection, A, **{column: old})
        lift(odd)
        assert memory(connection, A, f"metadata -> 'openmemory_old' -> 'columns' ->> '{column}'") == (noted,)


def test_a_weight_that_a_double_does_not_hold_is_noted_and_foretold(odd: Place) -> None:
    with odd.owner() as connection:
        retype(connection, "weight", "numeric", "waypoints")
        remember(connection, A)
        remember(connection, B)
        query = "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight) VALUES (%s, %s, 'ada', %s)"
        connection.cursor().executemany(query, [(A, B, "0.12345678901234567890"), (B, A, "0.25")])
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd)
        kept = connection.execute("SELECT id, original ->> 'weight' FROM openmemory_row_quarantine").fetchall()
    assert kept == [(A, "0.12345678901234567890")]
