"""Columns of old tables that have no place in the new ones: kept with the row, or named before they go."""

import re

import pytest
from psycopg.types.json import Jsonb

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import left_behind
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DEEP, FACTS, ORDINARY, A, B, C, lift, memory, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

NUL = '{"nul": "\\u0000"}'
NULLS = {"a": None, "b": {"c": None}, "l": [{"d": None}]}
BYTES = b"\x00\x00\x80?" * 4


def test_what_an_owner_added_to_memories_and_facts_goes_into_their_metadata(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute(
            'ALTER TABLE openmemory_memories ADD "Source\'s URL" text, ADD seen json, ADD never int, ADD nulls jsonb;'
            "ALTER TABLE temporal_facts ADD told_by text"
        )
        remember(connection, A, simhash="00ff")
        remember(connection, B)
        connection.execute(
            "UPDATE openmemory_memories SET \"Source's URL\" = 'https://a', seen = %s, nulls = %s WHERE id = %s",
            [NUL, Jsonb(NULLS), A],
        )
        connection.execute(
            "INSERT INTO temporal_facts (id, subject, predicate, object, valid_from, confidence, last_updated, told_by)"
            " VALUES ('f', 'Ada', 'likes', 'tea', 1, 1, 1, 'Ben')"
        )
        found = look(odd.logins.owner, odd.names).unmapped
        lift(odd)
        noted = memory(connection, A, "metadata")[0]
        assert memory(connection, B, "metadata")[0] == {"source": "chat"}
        fact = connection.execute("SELECT metadata -> 'openmemory_old' -> 'columns' FROM temporal_facts").fetchone()
    assert [(one.table, one.column, one.rows, one.is_noted) for one in found] == [
        ("openmemory_memories", "Source's URL", 1, True),
        ("openmemory_memories", "nulls", 1, True),
        ("openmemory_memories", "seen", 1, True),
        ("openmemory_memories", "segment", 2, False),
        ("openmemory_memories", "simhash", 1, False),
        ("temporal_facts", "told_by", 1, True),
    ]
    assert noted["openmemory_old"]["columns"] == {"Source's URL": "https://a", "seen": NUL, "nulls": NULLS}
    assert fact == ({"told_by": "Ben"},)


@pytest.mark.parametrize(
    ("type_", "old", "noted"),
    [
        ("json[]", '{"{\\"a\\":1,\\"a\\":\\"\\\\\\\\u0000\\"}"}', None),
        ("int[]", "[2:3]={7,8}", None),
        ("int[]", "{7,8}", [7, 8]),
        ("an_own", '(1,"{""nul"": ""\\\\u0000""}")', None),
        ("an_own[]", '{"(1,\\"\\"\\"nul\\"\\"\\")"}', None),
        ("jsonb", DEEP, None),
        ("jsonb", '{"large": ' + "9" * 4_400 + "}", None),
        ("jsonb[]", '{NULL,"null"}', None),
        ("numeric", "9" * 4_400, None),
        ("numeric", "NaN", "NaN"),
        ("numeric(20, 4)", "1234567890123456.7891", 1234567890123456.7891),
        ("numeric[]", "{1" + "0" * 310 + ".5}", None),
        ("double precision", "-0", "-0"),
        ("real[]", "{1,-0}", None),
    ],
)
def test_a_value_that_json_would_not_keep_whole_is_noted_as_text(
    odd: Place, type_: str, old: str, noted: object
) -> None:
    with odd.owner() as connection:
        connection.execute("CREATE TYPE an_own AS (number int, said json)")
        connection.execute(f"ALTER TABLE openmemory_memories ADD own {type_}".encode())
        remember(connection, A, own=old)
        text = connection.execute("SELECT own::text FROM openmemory_memories").fetchone()
        lift(odd)
        columns = memory(connection, A, "metadata")[0]["openmemory_old"]["columns"]
    assert text is not None
    assert columns == {"own": text[0] if noted is None else noted}


def test_a_null_of_json_is_a_value_and_one_of_sql_is_none(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD extra jsonb, ADD more json, ADD own text")
        remember(connection, A)
        remember(connection, B, extra="null", more="null")
        found = look(odd.logins.owner, odd.names).unmapped
        lift(odd)
        assert memory(connection, A, "metadata") == ({"source": "chat"},)
        noted = memory(connection, B, "metadata")[0]["openmemory_old"]
    assert noted == {"columns": {"extra": None, "more": "null"}}
    assert [(one.column, one.rows) for one in found if one.is_noted] == [("extra", 1), ("more", 1)]


def test_what_a_time_has_beyond_milliseconds_is_noted(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ALTER created_at TYPE timestamptz USING NULL")
        remember(connection, A, created_at="2024-05-01T10:00:00.123456Z")
        remember(connection, B, created_at="2024-05-01T10:00:00.123Z")
        remember(connection, C, created_at="infinity")
        lift(odd)
        noted = memory(connection, A, "metadata")[0]
        assert memory(connection, C, "metadata")[0]["openmemory_old"] == {"columns": {"created_at": "infinity"}}
        assert memory(connection, B, "metadata")[0] == {"source": "chat"}
    assert noted["openmemory_old"]["columns"]["created_at"].startswith("2024-05-01T10:00:00.123456")


def test_columns_that_are_nowhere_else_are_named_before_the_old_tables_are_dropped(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_users ADD email text")
        connection.execute("INSERT INTO openmemory_users (user_id, email) VALUES ('ada', 'ada@example.org')")
        remember(connection, A)
    lift(odd)
    left = left_behind(odd.logins.owner, odd.names)
    assert [(one.table, one.column) for one in left] == [("openmemory_users", "email")]
    assert "goes with it at --drop-bytea" in left[0].becomes


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_a_column_that_is_computed_is_told_with_its_expression_and_not_carried_over(odd: Place, by: str) -> None:
    computed = "ADD said tsvector GENERATED ALWAYS AS (to_tsvector('simple', content)) STORED, ADD mine text"
    with odd.owner() as connection:
        connection.execute(f"ALTER TABLE openmemory_memories {computed}".encode())
        remember(connection, A, mine="kept")
        found = [one for one in look(odd.logins.owner, odd.names).unmapped if one.expression]
        for step in STEPS[: 3 if by == "psql" else 0]:
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr
        upgrade(odd.logins.owner, odd.names, ORDINARY)
        noted = memory(connection, A, "metadata -> 'openmemory_old' -> 'columns'")
    assert [(one.table, one.column, one.rows, one.is_noted) for one in found] == [
        ("openmemory_memories", "said", 1, False)
    ]
    assert found[0].becomes.endswith("to_tsvector('simple'::regconfig, content)")
    assert noted == ({"mine": "kept"},)
    left = left_behind(odd.logins.owner, odd.names)
    assert [(one.column, bool(one.expression)) for one in left] == [("said", True)]


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_what_is_set_aside_is_whole(odd: Place, by: str) -> None:
    with odd.owner() as connection:
        for table in ("vectors", "waypoints"):
            connection.execute(f"ALTER TABLE openmemory_{table} ADD tenant_id text, ADD own text".encode())
        remember(connection, A)
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, v, dim, tenant_id, own)"
            " VALUES (%s, 'semantic', %s, 4, 'acme', 'x')",
            [B, BYTES],
        )
        connection.execute(
            "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight, tenant_id, own)"
            " VALUES (%s, %s, 'ada', 1, 'acme', 'y')",
            [A, B],
        )
        for step in STEPS[: 3 if by == "psql" else 0]:
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr
        upgrade(odd.logins.owner, odd.names, ORDINARY)
        vector = connection.execute(
            "SELECT v, original FROM openmemory_vector_quarantine WHERE reason LIKE 'no memory%'"
        ).fetchall()
        link = connection.execute("SELECT original FROM openmemory_row_quarantine").fetchall()
    assert vector == [
        (BYTES, {"id": B, "sector": "semantic", "user_id": None, "dim": 4, "tenant_id": "acme", "own": "x"})
    ]
    ((original,),) = link
    assert (original["src_id"], original["dst_id"], original["tenant_id"], original["own"]) == (A, B, "acme", "y")


@pytest.mark.parametrize("name", ["openmemory_row", "original"])
def test_what_is_set_aside_is_whole_whatever_a_column_of_it_is_called(odd: Place, name: str) -> None:
    with odd.owner() as connection:
        connection.execute(
            f"ALTER TABLE openmemory_users ADD {name} text, DROP CONSTRAINT openmemory_users_pkey".encode()
        )
        connection.execute("ALTER TABLE openmemory_users ALTER user_id DROP NOT NULL")
        connection.execute(
            f"INSERT INTO openmemory_users (summary, {name}) VALUES ('kind', NULL), ('odd', 'x')".encode()
        )
        lift(odd)
        found = connection.execute("SELECT original FROM openmemory_row_quarantine ORDER BY entry").fetchall()
    assert [(row["summary"], row[name]) for (row,) in found] == [("kind", None), ("odd", "x")]


def test_vectors_of_a_type_that_is_not_read_are_refused_by_name(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_vectors ALTER v TYPE real[] USING NULL")
        remember(connection, A)
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, v, dim) VALUES (%s, 'semantic', '{1,2,3,4}', 4)", [A]
        )
        with pytest.raises(ConfigurationError, match=r"the column v of .* is of type real\[\]") as refused:
            look(odd.logins.owner, odd.names)
        remedy = re.search(r"ALTER TABLE .*$", str(refused.value))
        assert remedy is not None
        connection.execute("CREATE EXTENSION vector")
        connection.execute(remedy[0].encode())
    assert lift(odd) == {}
