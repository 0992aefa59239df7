"""Step 003 as psql runs it: plain SQL that reads the old bytes, batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.sources import create_views
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import RECORDED
from tests.upgrade.staging import (
    DIMENSIONS,
    OWNERS,
    SMALLEST_BATCHES,
    STEP,
    a_staged_place,
    count,
    kill_after_batches,
    psql,
    recorded,
    script_without_call,
    turn_into_vectors,
    what_came_of_it,
)

SCRIPT = Path(__file__).parents[2] / "src/openmemory/postgres/upgrade" / f"{STEP}.sql"

OWN_EVERYTHING = """
DO $$
DECLARE
    relation regclass;
BEGIN
    ALTER SCHEMA openmemory_new_public OWNER TO {role};
    FOR relation IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')
                       AND relnamespace IN ('public'::regnamespace, 'openmemory_new_public'::regnamespace) LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {role}', relation);
    END LOOP;
END
$$
"""


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_database_is_converted_bit_for_bit(postgres: Server, shared: Path, name: str) -> None:
    expected = recorded(shared, name)
    with a_staged_place(postgres, shared, name) as (place, layout):
        psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

        converted, aside = what_came_of_it(place)

    wanted = {key: row["sha256_le_f32"] for key, row in expected.items()}
    fits = {key for key, row in expected.items() if row["dim"] == DIMENSIONS[name]}
    assert {key for key, digest in converted.items() if digest is not None} == fits
    assert {key: converted[key] for key in fits} == {key: wanted[key] for key in fits}
    assert set(converted) == set(expected)
    assert {key: digest for key, (digest, _) in aside.items()} == {key: wanted[key] for key in set(expected) - fits}
    assert all(f"{expected[key]['dim']} dimensions" in reason for key, (_, reason) in aside.items())


@pytest.fixture
def staged(postgres: Server, shared: Path) -> Iterator[tuple[Place, Layout]]:
    """Yield the smallest recorded database, ready for the step."""
    with a_staged_place(postgres, shared, "legacy-v1.2.0") as made:
        yield made


def test_a_conversion_that_is_killed_goes_on_and_doubles_nothing(staged: tuple[Place, Layout], shared: Path) -> None:
    place, layout = staged
    script = script_without_call(layout)
    kill_after_batches(place, script, batches=2)
    with place.owner() as connection:
        done_before_the_kill = count(connection, "openmemory_new_public.openmemory_vectors")

    psql(place, script + SMALLEST_BATCHES)
    said = psql(place, script + SMALLEST_BATCHES)

    converted, aside = what_came_of_it(place)
    expected = recorded(shared, "legacy-v1.2.0")
    assert 0 < done_before_the_kill < len(expected)
    assert converted == {key: row["sha256_le_f32"] for key, row in expected.items()}
    assert not aside
    assert "a second" not in said


def test_each_row_that_cannot_be_converted_is_set_aside_and_still_found_by_its_words(
    staged: tuple[Place, Layout],
) -> None:
    place, layout = staged
    with place.owner() as connection:
        keys = connection.execute("SELECT id, sector FROM openmemory_vectors ORDER BY id, sector LIMIT 4").fetchall()
        values = [None, b"\0" * 7, np.full(256, np.nan, "<f4").tobytes()]
        for key, value in zip(keys, values, strict=False):
            connection.execute("UPDATE openmemory_vectors SET v = %b WHERE id = %b AND sector = %b", (value, *key))
        connection.execute("DELETE FROM openmemory_new_public.openmemory_memories WHERE id = %b", keys[3][:1])

    psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

    with place.owner() as connection:
        aside = connection.execute("SELECT v, reason FROM openmemory_vector_quarantine WHERE id = ANY(%b)",
                                   [[key[0] for key in keys]]).fetchall()  # fmt: skip
        empty = connection.execute(
            "SELECT id, sector FROM openmemory_new_public.openmemory_vectors WHERE embedding IS NULL"
        ).fetchall()
    reasons = {reason: value for value, reason in aside}
    assert reasons["no value"] is None
    assert reasons["length is not a multiple of 4 bytes"] == values[1]
    assert reasons["holds NaN"] == values[2]
    assert "no memory has this id" in reasons
    assert sorted(empty) == sorted(keys[:3])


@pytest.mark.parametrize("shape", ["v is a vector", "only embedding", "embedding is garbage"])
def test_the_values_are_read_from_where_this_shape_has_them(
    staged: tuple[Place, Layout], shared: Path, shape: str
) -> None:
    place, layout = staged
    with place.owner() as connection:
        if shape == "embedding is garbage":
            connection.execute("ALTER TABLE openmemory_vectors ADD embedding vector(256)")
            connection.execute("UPDATE openmemory_vectors SET embedding = array_fill(1, ARRAY[256])::vector")
        else:
            turn_into_vectors(connection, layout, "v" if shape == "v is a vector" else "embedding")
        connection.execute(layout.render("DROP VIEW {old_owners}").encode())
        create_views(connection, layout)
        connection.execute(layout.render(OWNERS).encode())

    psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

    converted, _ = what_came_of_it(place)
    assert converted == {key: row["sha256_le_f32"] for key, row in recorded(shared, "legacy-v1.2.0").items()}


def test_with_a_tenant_a_user_each_vector_follows_its_memory(postgres: Server, shared: Path) -> None:
    with a_staged_place(postgres, shared, "legacy-v1.2.0", tenant_from_user=True) as (place, layout):
        psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))

        with place.owner() as connection:
            tenants = connection.execute(
                "SELECT v.tenant_id, coalesce(m.user_id, 'default') FROM openmemory_new_public.openmemory_vectors v"
                " JOIN openmemory_memories m ON m.id = v.id"
            ).fetchall()
    assert len({tenant for tenant, _ in tenants}) > 1
    assert all(tenant == user for tenant, user in tenants)
    assert len(tenants) == len(recorded(shared, "legacy-v1.2.0"))


def test_a_memory_without_any_vector_is_found_by_its_words_and_listed(staged: tuple[Place, Layout]) -> None:
    place, layout = staged
    with place.owner() as connection:
        bare = "SELECT min(id::text)::uuid FROM openmemory_memories"
        connection.execute(f"DELETE FROM openmemory_vectors WHERE id = ({bare})".encode())
        for _ in range(2):
            psql(place, layout.render(SCRIPT.read_text(encoding="utf-8")))
        empty = connection.execute(
            "SELECT m.id, m.primary_sector FROM openmemory_new_public.openmemory_vectors v"
            " JOIN openmemory_memories m ON m.id = v.id AND m.primary_sector = v.sector WHERE v.embedding IS NULL"
        ).fetchall()
        aside = connection.execute("SELECT id, sector, reason FROM openmemory_vector_quarantine").fetchall()

    assert len(empty) == 1
    assert aside == [(*empty[0], "no value")]


def test_an_owner_of_the_tables_who_is_no_superuser_may_convert_them(
    staged: tuple[Place, Layout], shared: Path
) -> None:
    place, layout = staged
    role = place.with_role()
    with place.owner() as connection:
        connection.execute(OWN_EVERYTHING.replace("{role}", role).encode())

    psql(place, f"SET ROLE {role};" + layout.render(SCRIPT.read_text(encoding="utf-8")))

    converted, _ = what_came_of_it(place)
    with place.owner() as connection:
        connection.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}".encode())
    assert len(converted) == len(recorded(shared, "legacy-v1.2.0"))
