"""What is said beforehand to be set aside is what is set aside."""

from dataclasses import replace

import pytest
from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.migrate import migrate
from openmemory.postgres.roles import prepare_app_role
from openmemory.postgres.statements import blocks
from openmemory.postgres.upgrade.foretold import new_names
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, FACTS, A, B, C, lift, odd, remember

__all__ = ["odd"]

GONE = "dddddddd-0000-4000-8000-000000000000"
LONG = "n" * 129
NO_YEAR = 2**63 - 1


def test_rows_that_have_no_place_are_counted_beforehand_by_the_same_reasons(odd: Place) -> None:
    with odd.owner() as connection:
        fill(connection)
    found = look(odd.logins.owner, odd.names)

    foretold = found.kept_back(DIMENSION)

    assert foretold == lift(odd)
    assert foretold == {
        "facts: has no id, subject, predicate or object": 1,
        "users: a time of it is in no year of the calendar; kept with another of its times": 1,
        "users: has no name": 1,
        "users: its name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        "vectors: no value": 3,
        "waypoints: a time of it is in no year of the calendar; kept with another of its times": 1,
        "waypoints: its project is not that of its source; kept without one": 1,
        "waypoints: its source is no memory": 1,
        "waypoints: its target is no memory": 1,
        "waypoints: its weight is outside [0, 1]; kept as the nearer end": 2,
        "waypoints: its user's name is longer than 128 bytes or has control characters; kept with a digest of it": 1,
        "waypoints: the same link is there already": 2,
    }


@pytest.mark.parametrize("from_users", [False, True])
def test_who_becomes_a_tenant_is_known_beforehand_and_the_links_between_tenants(odd: Place, from_users: bool) -> None:
    plan = Plan(DIMENSION, "rest", from_users)
    with odd.owner() as connection:
        fill(connection)
        users = {A: "ada", B: "a,b", C: "ben\u200b"}
        for id_, name in users.items():
            connection.execute("UPDATE openmemory_memories SET user_id = %s WHERE id = %s", [name, id_])
        for name in ("a,b", "eve"):
            connection.execute("INSERT INTO openmemory_users (user_id) VALUES (%s)", [name])
    assert look(odd.logins.owner, odd.names, replace(plan, tenant="ada")).has_namesake == from_users
    assert not look(odd.logins.owner, odd.names, plan).has_namesake
    foretold = look(odd.logins.owner, odd.names, plan).kept_back(DIMENSION)

    assert foretold == lift(odd, plan)
    of_tenants = {
        "users: its name may not be a tenant's; kept with the rows of no user",
        "waypoints: it leads to another tenant",
    }
    assert of_tenants & foretold.keys() == (of_tenants if from_users else set())


def test_who_cannot_become_a_tenant_counts_once_however_rows_name_no_tenant(odd: Place) -> None:
    plan = Plan(DIMENSION, "rest", tenant_from_user=True)
    with odd.owner() as connection:
        connection.execute(FACTS.encode())
        for table in ("openmemory_memories", "openmemory_users", "temporal_facts"):
            connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS tenant_id text".encode())
        connection.execute("ALTER TABLE temporal_facts ADD COLUMN IF NOT EXISTS user_id text")
        for id_, tenant in ((A, None), (B, "default"), (C, "acme")):
            remember(connection, id_, user_id="a,b", tenant_id=tenant)
        connection.execute("INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('', 'a,b'), ('', 'c,d')")
        connection.execute(
            "INSERT INTO temporal_facts VALUES ('f', 'Ada', 'is', 'kind', 1, NULL, 1, 1, '{}', 'default', 'a,b')"
        )
    foretold = look(odd.logins.owner, odd.names, plan).kept_back(DIMENSION)

    assert foretold == lift(odd, plan)
    assert foretold["users: its name may not be a tenant's; kept with the rows of no user"] == 2


def test_a_value_that_is_no_number_counts_as_no_memorys_where_it_has_none(odd: Place) -> None:
    nan, infinity = bytes.fromhex("0000c07f") * DIMENSION, bytes.fromhex("0000807f") * DIMENSION
    with odd.owner() as connection:
        remember(connection, A)
        query = "INSERT INTO openmemory_vectors (id, sector, v, dim) VALUES (%s, %s, %s, 4)"
        values = [(A, "semantic", nan), (GONE, "semantic", nan), (GONE, "episodic", infinity)]
        connection.cursor().executemany(query, values)
    foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

    assert foretold == lift(odd) == {"vectors: holds NaN": 1, "vectors: no memory has this id": 2}


@pytest.mark.parametrize("what", ["has_unseen", "is_odd", "as_plain"])
def test_what_is_asked_of_a_name_is_the_same_beforehand_and_in_the_step(what: str) -> None:
    expression = blocks("upgrade/foretold")[what].partition("CASE ")[2].replace("TEXT", "name").strip()
    step = blocks("upgrade/002_add_tenant_id")["conversions"]

    assert f"RETURN CASE {expression};" in step


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

    foretold = found.kept_back(found.dimension)

    assert (found.dimensions, found.dimension) == ({3: 2, 4: 1}, 3)
    assert foretold == lift(odd, Plan(3))
    assert foretold == {
        "vectors: 4 dimensions, the database has 3": 1,
        "vectors: its dim is not how many numbers it has; kept by its numbers": 2,
    }


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
        (A.upper(), B, "cap", 0.3, None),
        (A, C, "ada", 1.0, ""),
    ]
    query = "INSERT INTO openmemory_waypoints (src_id, dst_id, user_id, weight, project_id) VALUES (%s, %s, %s, %s, %s)"
    connection.cursor().executemany(query, links)
    connection.execute("INSERT INTO openmemory_waypoints VALUES (%s, %s, 'ada', 1, 1, %s)", [B, B, NO_YEAR])
    users = [("ada", 1), ("", NO_YEAR), (LONG, None), ("fay", NO_YEAR)]
    connection.cursor().executemany("INSERT INTO openmemory_users (user_id, updated_at) VALUES (%s, %s)", users)
    connection.execute("ALTER TABLE temporal_facts ALTER predicate DROP NOT NULL")
    facts = [("one", "likes"), ("two", None)]
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
    with pytest.raises(ConfigurationError, match=r"openmemory_faded\(\), openmemory_vectors_search\. Rename"):
        lift(odd)


def test_tenants_that_may_be_none_share_one_and_of_two_users_of_a_name_the_first_counts(odd: Place) -> None:
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_users ADD tenant_id text, DROP CONSTRAINT openmemory_users_pkey")
        users = [("default", "ada", "one"), ("x,y", "ada", "two"), ("acme", "ada", "three")]
        query = "INSERT INTO openmemory_users (tenant_id, user_id, summary) VALUES (%s, %s, %s)"
        connection.cursor().executemany(query, users)
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd) == {"users: the tenant has one of its name; kept as the row that came first": 1}
        found = connection.execute("SELECT tenant_id, user_id, summary FROM openmemory_users ORDER BY 1").fetchall()
    assert found == [("acme", "ada", "three"), ("default", "ada", "one")]


def test_a_tenant_may_have_any_signs_of_sql_in_its_name(odd: Place) -> None:
    name = "%s{tenant}$body$'\\ \"x"
    with odd.owner() as connection:
        remember(connection, A, user_id="ada")
        lift(odd, Plan(DIMENSION, name))

        assert connection.execute("SELECT tenant_id FROM openmemory_memories").fetchall() == [(name,)]
