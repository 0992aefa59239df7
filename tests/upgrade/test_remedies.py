"""What a refusal of old values says is to be done: it can be done, and it does what it says."""

import re

import pytest
from psycopg import errors

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade.look import look
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import WRITTEN, A, B, lift, memory, odd, remember
from tests.upgrade.test_types import INSTANT, MS, retype

__all__ = ["odd"]

UPDATED = "2023-11-14 22:13:20.002000"


def refusal(odd: Place) -> str:
    """Return how the database is refused."""
    with pytest.raises(ConfigurationError) as refused:
        look(odd.logins.owner, odd.names)
    return str(refused.value)


def remedies(said: str) -> list[bytes]:
    """Return the statements that a refusal names, in order."""
    return [found.encode() for found in re.findall(r"Run ((?:ALTER TABLE|UPDATE) [^;]*);", said)]


@pytest.mark.parametrize("text", ["1e3", "garbage", "٣", "12\n", "0x10", "1700000000.123", "9" * 19, "2023-11"])
def test_a_text_that_is_no_time_becomes_null_and_times_beside_it_are_kept(odd: Place, text: str) -> None:
    with odd.owner() as connection:
        retype(connection, "created_at", "text")
        remember(connection, A, created_at=text)
        remember(connection, B, created_at=f"{INSTANT}Z")
        for remedy in remedies(refusal(odd)):
            connection.execute(remedy)
        lift(odd)
        assert (memory(connection, A, WRITTEN), memory(connection, B, WRITTEN)) == ((UPDATED,), (INSTANT,))


def test_a_text_of_a_day_that_no_month_has_can_be_kept_under_another_name(odd: Place) -> None:
    with odd.owner() as connection:
        retype(connection, "created_at", "text")
        remember(connection, A, created_at="2023-02-30")
        said = refusal(odd)
        with pytest.raises(errors.DatetimeFieldOverflow):
            connection.execute(remedies(said)[0])
        rename = re.search(r"ALTER TABLE \S+ RENAME COLUMN \S+ TO [^ ,;]+", said)
        assert rename is not None
        connection.execute(rename[0].encode())
        lift(odd)
        kept = memory(connection, A, "metadata #>> '{openmemory_old,columns,created_at_old}'")
        assert kept == ("2023-02-30",)


@pytest.mark.parametrize(
    ("type_", "far", "other"),
    [
        ("numeric", "1e17", f"{MS}.25"),
        ("numeric", "-1e17", f"{MS}.25"),
        ("double precision", "1e17", f"{MS}.25"),
        ("text", "9" * 18, f"{INSTANT}Z"),
        ("text", "-" + "9" * 18, f"{INSTANT}Z"),
    ],
)
def test_a_time_that_is_too_far_away_stops_no_remedy_of_the_others(
    odd: Place, type_: str, far: str, other: str
) -> None:
    with odd.owner() as connection:
        retype(connection, "created_at", type_)
        remember(connection, A, created_at=far)
        remember(connection, B, created_at=other)
        for remedy in remedies(refusal(odd)):
            connection.execute(remedy)
        lift(odd)
        assert (memory(connection, A, WRITTEN), memory(connection, B, WRITTEN)) == ((UPDATED,), (INSTANT,))


@pytest.mark.parametrize("type_", ["text", "boolean"])
def test_what_becomes_of_a_column_that_is_renamed_is_true_of_its_table(odd: Place, type_: str) -> None:
    in_metadata = "goes into each row's metadata, under openmemory_old.columns"
    stays = "stays in the old table, and goes with it at --drop-bytea"
    with odd.owner() as connection:
        retype(connection, "reflection_count", type_, "users")
        connection.execute("INSERT INTO openmemory_users (user_id, reflection_count) VALUES ('ada', 'yes')")
        of_users = refusal(odd)
        connection.execute("DELETE FROM openmemory_users")
        retype(connection, "version", type_)
        remember(connection, A, version="yes")
        of_memories = refusal(odd)

    assert stays in of_users
    assert in_metadata not in of_users
    assert in_metadata in of_memories
    assert stays not in of_memories


@pytest.mark.parametrize(("table", "column"), [("memories", "id"), ("vectors", "id"), ("vectors", "sector")])
@pytest.mark.parametrize("way", ["UPDATE", "DELETE"])
def test_rows_that_lost_their_key_are_refused_with_what_makes_them_readable(
    odd: Place, table: str, column: str, way: str
) -> None:
    with odd.owner() as connection:
        connection.execute(f"ALTER TABLE openmemory_{table} DROP CONSTRAINT IF EXISTS openmemory_{table}_pkey".encode())
        connection.execute(f"ALTER TABLE openmemory_{table} ALTER {column} DROP NOT NULL".encode())
        remember(connection, A)
        connection.execute(
            "INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 'semantic', 4, %s)", [A, bytes(16)]
        )
        connection.execute(f"UPDATE openmemory_{table} SET {column} = NULL".encode())

        said = refusal(odd)

        assert f'1 rows of "public"."openmemory_{table}" have no {column} (NULL)' in said
        found = re.search(rf"\(({way} [^;]*? WHERE {column} IS NULL)\)", said)
        if found is None:
            assert (column, way) == ("id", "UPDATE")
            assert table == "vectors"
            return
        connection.execute(found[1].encode())
        look(odd.logins.owner, odd.names)
