"""Everything that was seen in the wild: kept, with the old value beside it where ours must be tighter."""

from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place

DIMENSION = 4
WRITTEN = "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
CONTROLS = "\u0001\u0007 \ufffd \u202e\u200f \U0001f44d\U0001f3fd"
ORDINARY = Plan(DIMENSION)
A, B, C = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")


@pytest.fixture
def odd(place: Place) -> Place:
    """Return a database with upstream's empty tables, for vectors of four dimensions."""
    with place.owner() as connection:
        connection.execute(OLD_TABLES.encode())
    return Place(place.logins, place.names)


def remember(connection: Connection, id_: str, **columns: object) -> None:
    """Write an old memory; what is not said is ordinary."""
    ordinary: dict[str, object] = {
        "id": id_,
        "content": "Ada moved to Lisbon",
        "primary_sector": "semantic",
        "tags": '["home"]',
        "meta": '{"source": "chat"}',
        "created_at": 1_700_000_000_001,
        "updated_at": 1_700_000_000_002,
        "last_seen_at": 1_700_000_000_003,
        "salience": 0.5,
        "decay_lambda": 0.005,
        "version": 1,
    }
    row = {**ordinary, **columns}
    names, marks = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    connection.execute(f"INSERT INTO openmemory_memories ({names}) VALUES ({marks})".encode(), row)


def lift(place: Place, plan: Plan = ORDINARY) -> dict[str, int]:
    """Upgrade, and return what was set aside."""
    return upgrade(place.logins.owner, place.names, plan).set_aside


def memory(connection: Connection, id_: str, columns: str) -> tuple[Any, ...]:
    """Return columns of a lifted memory."""
    query = f"SELECT {columns} FROM openmemory_memories WHERE id = %s"
    row = connection.execute(query.encode(), [id_]).fetchone()
    assert row is not None
    return row


DEEP = '{"a":' * 1_000 + "1" + "}" * 1_000


@pytest.mark.parametrize("salience", [0.5, 1.5])
def test_metadata_that_has_our_own_key_keeps_it(odd: Place, salience: float) -> None:
    with odd.owner() as connection:
        remember(connection, A, meta='{"openmemory_old": {"salience": null}, "source": "chat"}', salience=salience)
        lift(odd)
        mine = {"salience": None}
        wanted = mine if salience == 0.5 else {"salience": 1.5, "openmemory_old": mine}
        assert memory(connection, A, "metadata") == ({"openmemory_old": wanted, "source": "chat"},)


def test_every_bit_of_a_float_comes_across_and_what_is_no_vector_is_set_aside_with_the_reason(odd: Place) -> None:
    denormal_and_negative_zero = np.array([1, 0x80000000, 0x807FFFFF, 0x3F800001], "<u4").tobytes()
    values = {
        "semantic": (denormal_and_negative_zero, None),
        "episodic": (np.array([1, 2, np.nan, 4], "<f4").tobytes(), "holds NaN"),
        "emotional": (np.array([1, 2, np.inf, 4], "<f4").tobytes(), "holds infinity"),
        "procedural": (b"12345", "length is not a multiple of 4 bytes"),
        "reflective": (bytes(8), "2 dimensions, the database has 4"),
        "nothing": (None, "no value"),
    }
    with odd.owner() as connection:
        remember(connection, A)
        remember(connection, B)
        for sector, (value, _) in values.items():
            connection.execute("INSERT INTO openmemory_vectors VALUES (%s, %s, NULL, %s, 4)", [A, sector, value])
        connection.execute("INSERT INTO openmemory_vectors VALUES (%s, 'semantic', NULL, %s, 4)", [C, bytes(16)])
        lift(odd)
        found = connection.execute(
            "SELECT sector, vector_send(embedding) FROM openmemory_vectors WHERE id = %s AND embedding IS NOT NULL", [A]
        ).fetchall()
        sent = np.frombuffer(denormal_and_negative_zero, "<u4").astype(">u4").tobytes()
        assert found == [("semantic", b"\0\4\0\0" + sent)]
        aside = connection.execute("SELECT id::text, sector, v, reason FROM openmemory_vector_quarantine").fetchall()
        wanted = [(A, sector, value, reason) for sector, (value, reason) in values.items() if reason]
        assert sorted(aside, key=str) == sorted(
            [*wanted, (C, "semantic", bytes(16), "no memory has this id"), (B, "semantic", None, "no value")], key=str
        )
        rows = connection.execute("SELECT count(*) FROM openmemory_vectors WHERE terms <> '{}/536870912'").fetchone()
        assert rows == (len(values) + 1,)


def test_waypoints_keep_their_weight_or_are_set_aside(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A, user_id="ada")
        remember(connection, B, user_id="bob")
        for source, target, user, weight in (
            (A, B, "ada", 1.5),
            (A, B, "bob", 0.5),
            (B, A, "bob", 0.25),
            (A, C, "cleo", 0.5),
            ("gone", A, "ada", 0.5),
        ):
            connection.execute(
                "INSERT INTO openmemory_waypoints VALUES (%s, %s, %s, %s, 1, 2)", [source, target, user, weight]
            )
        aside = lift(odd)
        kept = connection.execute("SELECT src_id::text, weight FROM openmemory_waypoints ORDER BY src_id").fetchall()
    assert kept == [(A, 1.0), (B, 0.25)]
    assert aside == {
        "waypoints: its source is no memory": 1,
        "waypoints: its target is no memory": 1,
        "waypoints: its weight is outside [0, 1]; kept as the nearer end": 1,
        "waypoints: the same link is there already": 1,
        "vectors: no value": 2,
    }


def test_an_id_without_hyphens_is_the_same_id(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A)
        remember(connection, B)
        connection.execute(
            "INSERT INTO openmemory_waypoints VALUES (%s, %s, 'ada', 0.5, 1, 2)", [A.replace("-", ""), B.upper()]
        )
        assert look(odd.logins.owner, odd.names).kept_back(DIMENSION) == {"vectors: no value": 2}
        assert lift(odd) == {"vectors: no value": 2}
        rows = connection.execute("SELECT src_id::text, dst_id::text FROM openmemory_waypoints").fetchall()
    assert rows == [(A, B)]


def test_each_user_becomes_a_tenant_where_the_owner_says_so(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A, user_id="ada")
        remember(connection, B, user_id="bob")
        remember(connection, C, user_id=None)
        connection.execute("INSERT INTO openmemory_users VALUES ('ada', 'is kind', 3, 1000, 2000)")
        connection.execute("INSERT INTO openmemory_waypoints VALUES (%s, %s, 'ada', 0.5, 1, 2)", [A, B])
        aside = lift(odd, Plan(DIMENSION, tenant="rest", tenant_from_user=True))
        rows = connection.execute("SELECT tenant_id, user_id FROM openmemory_memories ORDER BY id").fetchall()
        users = connection.execute("SELECT tenant_id, user_id, summary FROM openmemory_users ORDER BY 1").fetchall()
        tenants = connection.execute("SELECT tenant_id FROM openmemory_tenants ORDER BY 1").fetchall()
    assert rows == [("ada", "ada"), ("bob", "bob"), ("rest", None)]
    assert users == [("ada", "ada", "is kind"), ("bob", "bob", None)]
    assert tenants == [("ada",), ("bob",), ("rest",)]
    assert aside == {"waypoints: it leads to another tenant": 1, "vectors: no value": 3}


def test_a_fact_with_a_time_that_is_none_keeps_it_in_the_metadata(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute(
            "INSERT INTO temporal_facts VALUES (%s, 'Ada', 'is', 'kind', 1000, NULL, 1, %s, '{}')", [A, 2**62]
        )
        lift(odd)
        found = connection.execute(
            "SELECT extract(epoch FROM last_updated)::int, metadata FROM temporal_facts"
        ).fetchall()
    assert found == [(1, {"openmemory_old": {"last_updated": 2**62}})]


def test_facts_keep_their_times_and_the_newer_closes_the_older(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        for id_, predicate, thing, begins, ends in (
            ("f1", "lives in", "Porto", 1000, None),
            ("f2", "lives in", "Lisbon", 5000, None),
            ("f3", "works at", "Acme", 1000, 4000),
            ("f4", "works at", "Ajax", 1000, None),
            ("f5", "is", "backwards", 9000, 2000),
        ):
            connection.execute(
                "INSERT INTO temporal_facts VALUES (%s, 'Ada', %s, %s, %s, %s, 0.5, 7000, '{}')",
                [id_, predicate, thing, begins, ends],
            )
        lift(odd)
        found = connection.execute(
            "SELECT object, extract(epoch FROM lower(valid))::float8, extract(epoch FROM upper(valid))::float8,"
            " upper_inc(valid), (metadata -> 'openmemory_old' -> 'valid_to')::text FROM temporal_facts ORDER BY object"
        ).fetchall()
    assert found == [
        ("Acme", 1.0, 1.000001, False, "4000"),
        ("Ajax", 1.000001, None, False, None),
        ("Lisbon", 5.0, None, False, None),
        ("Porto", 1.0, 5.0, False, "null"),
        ("backwards", 9.0, 9.0, True, "2000"),
    ]


OLD_TABLES = """
CREATE TABLE openmemory_memories (
    id uuid PRIMARY KEY, user_id text, segment integer DEFAULT 0, content text NOT NULL, simhash text,
    primary_sector text NOT NULL, tags text, meta text, created_at bigint, updated_at bigint, last_seen_at bigint,
    salience double precision, decay_lambda double precision, version integer DEFAULT 1, mean_dim integer,
    mean_vec bytea, compressed_vec bytea, feedback_score double precision DEFAULT 0
);
CREATE TABLE openmemory_vectors (
    id uuid NOT NULL, sector text NOT NULL, user_id text, v bytea, dim integer NOT NULL, PRIMARY KEY (id, sector)
);
CREATE TABLE openmemory_waypoints (
    src_id text NOT NULL, dst_id text NOT NULL, user_id text NOT NULL, weight double precision NOT NULL,
    created_at bigint, updated_at bigint, PRIMARY KEY (src_id, user_id)
);
CREATE TABLE openmemory_users (
    user_id text PRIMARY KEY, summary text, reflection_count integer DEFAULT 0, created_at bigint, updated_at bigint
);
"""
FACTS = """
CREATE TABLE temporal_facts (
    id text PRIMARY KEY, subject text NOT NULL, predicate text NOT NULL, object text NOT NULL,
    valid_from bigint NOT NULL, valid_to bigint, confidence double precision NOT NULL, last_updated bigint NOT NULL,
    metadata text, UNIQUE (subject, predicate, object, valid_from)
);
"""
