"""Names of users and projects that the new tables cannot have as they are: kept, and told."""

import hashlib
import secrets
import unicodedata
from string import ascii_letters

import pytest
from psycopg import errors

from openmemory.core.scope import tenant_problem
from openmemory.postgres.upgrade.building import body
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.standing import aside as look_aside
from openmemory.postgres.upgrade.way_back import drop_bytea
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, FACTS, ORDINARY, A, B, C, lift, memory, odd, remember

__all__ = ["odd"]


def test_the_project_of_a_waypoint_is_kept_where_it_is_not_that_of_its_source(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(
            "ALTER TABLE openmemory_memories ADD project_id text; ALTER TABLE openmemory_waypoints ADD project_id text"
        )
        remember(connection, A, project_id="apollo")
        remember(connection, B)
        for source, target, project in ((A, B, "gemini"), (A, A, "apollo"), (B, A, None), (B, B, "apollo")):
            connection.execute(
                "INSERT INTO openmemory_waypoints VALUES (%s, %s, %s, 0.5, 1, 2, %s)",
                [source, target, f"{source}{target}", project],
            )
        aside = lift(odd)
        drop_bytea(odd.logins.owner, odd.names)
        kept = connection.execute(
            "SELECT original ->> 'src_id', original ->> 'dst_id', original ->> 'project_id'"
            " FROM openmemory_row_quarantine ORDER BY 1"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM openmemory_waypoints").fetchone() == (4,)
    assert aside["waypoints: its project is not that of its source; kept without one"] == 2
    assert kept == [(A, B, "gemini"), (B, B, "apollo")]


@pytest.mark.parametrize("from_users", [False, True])
def test_a_name_that_no_index_could_hold_is_kept_by_a_digest_and_the_rows_of_its_user_stay_together(
    odd: Place, from_users: bool
) -> None:
    name, long_text = "Ada " * 640, " ".join(f"word{number}" for number in range(2_000))
    with odd.owner() as connection:
        connection.execute(f"{FACTS}; ALTER TABLE temporal_facts ADD user_id text".encode())
        remember(connection, A, user_id=name, content=long_text)
        remember(connection, B, user_id=name)
        connection.execute("INSERT INTO openmemory_users VALUES (%s, 'is kind', 3, 1000, 2000)", [name])
        connection.execute("INSERT INTO openmemory_waypoints VALUES (%s, %s, %s, 0.5, 1, 2)", [A, B, name])
        connection.execute(
            "INSERT INTO temporal_facts VALUES ('f', 'Ada', 'is', 'kind', 1, NULL, 1, 1, '{}', %s)", [name]
        )
        aside = lift(odd, Plan(DIMENSION, tenant_from_user=from_users))
        (kept,) = memory(connection, A, "user_id")
        for table in ("memories", "vectors", "waypoints", "users"):
            found = connection.execute(f"SELECT DISTINCT user_id FROM openmemory_{table}".encode()).fetchall()
            assert found == [(kept,)], table
        assert connection.execute("SELECT user_id, metadata FROM temporal_facts").fetchone() == (
            kept,
            {"openmemory_old": {"id": "f", "user_id": name}},
        )
        assert memory(connection, A, "metadata -> 'openmemory_old'") == ({"user_id": name},)
    assert len(kept.encode()) <= 128
    assert kept.startswith("Ada Ada ")
    assert {reason: count for reason, count in aside.items() if not reason.startswith("vectors")} == {
        "users: its name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        "waypoints: its user's name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        **({"users: its name may not be a tenant's; kept with the rows of no user": 1} if from_users else {}),
    }


def test_users_that_cannot_be_tenants_are_told_and_stay_with_the_rows_of_no_user(odd: Place) -> None:
    with odd.owner() as connection:
        for id_, user in ((A, "a,b"), (B, " alice"), (C, "bob")):
            remember(connection, id_, user_id=user)
        connection.execute("INSERT INTO openmemory_users VALUES ('a,b', '', 3, 1000, 2000), ('x\u200by', '', 3, 1, 2)")
        lift(odd, Plan(DIMENSION, tenant="rest", tenant_from_user=True))
        rows = connection.execute("SELECT tenant_id, user_id FROM openmemory_memories ORDER BY id").fetchall()
    assert rows == [("rest", "a,b"), ("rest", " alice"), ("bob", "bob")]
    (told,) = [one for one in look_aside(odd.logins.owner, odd.names) if one.source == "users"]
    assert (told.count, sorted(told.first_ids)) == (3, [" alice", "a,b", "x\u200by"])
    assert told.reason == "its name may not be a tenant's; kept with the rows of no user"


def test_what_may_be_a_tenant_is_decided_as_for_a_request(odd: Place) -> None:
    odd_ones = [chr(code) for code in range(1, 0xE0080) if unicodedata.category(chr(code))[0] in "CZ" and code < 0xD800]
    names = [
        "a",
        "a b",
        "",
        " a",
        "a ",
        "a,b",
        "x" * 128,
        "x" * 129,
        "ä" * 64,
        "ä" * 65,
        *(f"a{one}b" for one in odd_ones),
    ]
    layout = Layout(odd.names, ORDINARY)
    with odd.owner() as connection:
        connection.execute(layout.render("CREATE SCHEMA {staging}").encode())
        connection.execute(body(layout.block("002_add_tenant_id", "conversions")).encode())
        query = layout.render_with_params(
            "SELECT name, {staging}.fits_as_tenant(name) FROM unnest(%s::text[]) AS n (name)"
        )
        found = dict(connection.execute(query, [names]).fetchall())
    assert {name: tenant_problem(name) is None for name in names} == found


def test_more_facts_of_one_instant_than_a_millisecond_has_microseconds_follow_each_other(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute(
            "INSERT INTO temporal_facts SELECT 'f' || n, 'Ada', 'likes', n::text, 1000, NULL, 1, n, NULL"
            " FROM generate_series(1, 1001) AS n"
        )
        connection.execute("INSERT INTO temporal_facts VALUES ('g', 'Ada', 'likes', 'last', 1001, NULL, 1, 1, NULL)")
        lift(odd)
        rows = connection.execute("SELECT object FROM temporal_facts ORDER BY lower(valid)").fetchall()
        noted = connection.execute("SELECT metadata FROM temporal_facts WHERE object = 'last'").fetchone()
    assert [row[0] for row in rows] == [*(str(number) for number in range(1, 1002)), "last"]
    assert noted == ({"openmemory_old": {"id": "g", "valid_from": 1001}},)


def test_of_two_users_whose_new_name_is_one_the_second_is_kept_with_a_note(odd: Place) -> None:
    long = "x" * 129
    digest = f"{'x' * 23}~{hashlib.md5(long.encode(), usedforsecurity=False).hexdigest()}"
    with odd.owner() as connection:
        query = "INSERT INTO openmemory_users (user_id, summary, reflection_count) VALUES (%s, %s, 7)"
        connection.cursor().executemany(query, [(long, "of the long name"), (digest, "of the digest")])
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd)
        one = connection.execute("SELECT user_id, summary FROM openmemory_users").fetchall()
        noted = connection.execute(
            "SELECT original ->> 'summary' FROM openmemory_row_quarantine WHERE reason LIKE 'the tenant has one%'"
        ).fetchall()
    assert one == [(digest, "of the long name")]
    assert noted == [("of the digest",)]


def test_who_has_a_row_by_the_new_name_is_not_counted_as_without_one(odd: Place) -> None:
    with odd.owner() as connection:
        for table in ("memories", "users"):
            connection.execute(f"ALTER TABLE openmemory_{table} ADD COLUMN IF NOT EXISTS tenant_id text".encode())
        remember(connection, A, user_id="n" * 129, tenant_id="acme")
        remember(connection, B, user_id="n" * 129, tenant_id="globex")
        connection.execute("INSERT INTO openmemory_users (user_id, tenant_id) VALUES (%s, 'acme')", ["n" * 129])
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd)
    assert foretold["users: it has memories in a tenant where it has no row; kept in both"] == 1


def test_facts_of_any_length_come_across(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.replace(", UNIQUE (subject, predicate, object, valid_from)", "").encode())
        query = "INSERT INTO temporal_facts VALUES (%s, %s, %s, 'x', %s, NULL, 1, 1, NULL)"
        for number, length in enumerate((2_048, 2_560, 9_000) * 20):
            subject, predicate = ("".join(secrets.choice(ascii_letters) for _ in range(length)) for _ in "sp")
            connection.execute(query, [f"f{number}", subject, predicate, 1])
            connection.execute(query, [f"g{number}", subject, predicate, 2])
        assert lift(odd) == {}
        closed = connection.execute("SELECT count(*) FROM temporal_facts WHERE upper(valid) IS NOT NULL").fetchone()
        with pytest.raises(errors.ExclusionViolation):
            connection.execute(
                "INSERT INTO temporal_facts SELECT tenant_id, gen_random_uuid(), user_id, project_id, subject,"
                " predicate, 'another', valid FROM temporal_facts LIMIT 1"
            )
    assert closed == (60,)


def test_a_fact_that_says_nothing_is_set_aside_whole(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute("ALTER TABLE temporal_facts ALTER object DROP NOT NULL")
        connection.execute("INSERT INTO temporal_facts VALUES ('g', 'Ada', 'is', NULL, 1, NULL, 1, 1, NULL)")
        assert lift(odd) == {"facts: has no id, subject, predicate or object": 1}
        kept = connection.execute("SELECT id, original ->> 'subject' FROM openmemory_row_quarantine").fetchone()
    assert kept == ("g", "Ada")
