"""What is said beforehand to be set aside is what is set aside."""

from dataclasses import replace

import pytest
from psycopg import Connection

from openmemory.postgres.migrate import migrate
from openmemory.postgres.roles import prepare_app_role
from openmemory.postgres.upgrade.foretold import NO_TENANTS, new_names, no_tenants
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, FACTS, A, B, C, lift, odd, remember

__all__ = ["odd"]

GONE = "dddddddd-0000-4000-8000-000000000000"
LONG = "n" * 129


def test_rows_that_have_no_place_are_counted_beforehand_by_the_same_reasons(odd: Place) -> None:
    with odd.owner() as connection:
        fill(connection)
    found = look(odd.logins.owner, odd.names)

    foretold = found.kept_back(DIMENSION, tenant_from_user=False)

    assert foretold == lift(odd)
    assert foretold == {
        "facts: its subject and predicate are longer than 3,000 bytes": 1,
        "users: has no name": 1,
        "users: its name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        "vectors: no value": 3,
        "waypoints: its project is not that of its source; kept without one": 1,
        "waypoints: its source is no memory": 1,
        "waypoints: its target is no memory": 1,
        "waypoints: its weight is outside [0, 1]; kept as the nearer end": 2,
        "waypoints: its user's name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        "waypoints: the same link is there already": 1,
    }


def test_users_of_whom_none_can_become_a_tenant_are_counted_beforehand(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A, user_id="ada")
        remember(connection, B, user_id="a,b")
        remember(connection, C, user_id="a,b")
        for name in ("a,b", "ben\u200b", LONG, "eve"):
            connection.execute("INSERT INTO openmemory_users (user_id) VALUES (%s)", [name])
    count = no_tenants(odd.logins.owner, odd.names)

    set_aside = lift(odd, Plan(DIMENSION, tenant_from_user=True))

    assert count == set_aside[NO_TENANTS] == 3


def test_a_value_that_only_the_column_embedding_holds_is_counted_with_its_dimension(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(f"ALTER TABLE openmemory_vectors ADD embedding vector({DIMENSION})")
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, dim, embedding) VALUES (%s, 'semantic', 4, '[1,2,3,4]')", [A]
        )
    found = look(odd.logins.owner, odd.names)

    assert (found.dimensions, found.set_aside) == ({DIMENSION: 1}, {})
    assert lift(odd) == {}


def test_the_dimension_is_that_of_the_values_that_are_read_wherever_they_are(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("ALTER TABLE openmemory_vectors ADD embedding vector, ALTER dim DROP NOT NULL")
        query = "INSERT INTO openmemory_vectors (id, sector, v, dim, embedding) VALUES (%s, 'semantic', %s, 99, %s)"
        for id_, value, embedding in ((A, None, "[1,2,3]"), (B, None, "[4,5,6]"), (C, bytes(range(16)), "[7,8,9]")):
            remember(connection, id_)
            connection.execute(query, [id_, value, embedding])
    found = look(odd.logins.owner, odd.names)

    foretold = found.kept_back(found.dimension, tenant_from_user=False)

    assert (found.dimensions, found.dimension) == ({3: 2, 4: 1}, 3)
    assert sum(foretold.values()) == sum(lift(odd, Plan(3)).values()) == 1


def fill(connection: Connection) -> None:
    """Write a row for each reason, and some that have a place."""
    connection.execute(FACTS.encode())
    connection.execute(
        "ALTER TABLE openmemory_waypoints ADD project_id text, DROP CONSTRAINT openmemory_waypoints_pkey"
    )
    for id_ in (A, B, C):
        remember(connection, id_, user_id="ada")
    links = [
        (A, B, "ada", 0.5, None),
        (A, B, "ben", 0.4, None),
        (B, A, "ada", -0.1, None),
        (B, C, "ada", 1.5, "p"),
        (C, A, "ada", 0.5, "p"),
        (C, B, LONG, 0.5, None),
        (GONE, A, "ada", 0.5, None),
        (A, GONE, "ada", 7.0, None),
        (A, C, "ada", 1.0, ""),
    ]
    query = "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight, project_id) VALUES (%s, %s, %s, %s, %s)"
    connection.cursor().executemany(query, links)
    connection.cursor().executemany("INSERT INTO openmemory_users (user_id) VALUES (%s)", [("ada",), ("",), (LONG,)])
    facts = [("one", "likes"), ("two", "p" * 3_001)]
    query = "INSERT INTO temporal_facts VALUES (%s, 'ada', %s, 'tea', 1, NULL, 1, 1, NULL)"
    connection.cursor().executemany(query, facts)


@pytest.mark.parametrize(
    ("memories", "vectors"), [("openmemory_memories", "openmemory_vectors"), ("m" * 50, "Vectors of ours " * 3)]
)
def test_the_names_that_the_new_tables_will_want_are_known(place: Place, memories: str, vectors: str) -> None:
    mine = replace(place.names, memories=memories, vectors=vectors)
    prepare_app_role(place.logins.owner, mine)
    migrate(place.logins.owner, mine)

    with place.owner() as connection:
        query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'c'"
        brought = {str(name) for (name,) in connection.execute(query)}

    assert set(new_names(mine)) == brought


def test_what_has_one_of_these_names_is_told_and_an_old_tables_own_index_is_not(odd: Place) -> None:
    with odd.owner() as connection:
        assert look(odd.logins.owner, odd.names).taken == ()
        connection.execute("CREATE TABLE own (id text); CREATE INDEX openmemory_vectors_search ON own (id)")
        connection.execute("CREATE FUNCTION openmemory_faded() RETURNS int LANGUAGE sql RETURN 1")

    assert look(odd.logins.owner, odd.names).taken == ("function openmemory_faded()", "openmemory_vectors_search")
