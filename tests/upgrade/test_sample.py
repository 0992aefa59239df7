"""Some of the old vectors tell whether a model made them."""

import asyncio
from pathlib import Path

import pytest

from openmemory.adapters.embedders import StaticEmbedder
from openmemory.core.synthetic import Sample
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.sample import kept_sample
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import drop_bytea
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import RECORDED, an_old_place
from tests.upgrade.shapes import reshape

MOST = 16 * 5


def sampled(place: Place) -> dict[int, Sample]:
    """Return what the look says of some vectors, by their dimension."""
    return look(place.logins.owner, place.names).sampled


@pytest.mark.parametrize("name", RECORDED)
def test_the_vectors_of_every_recorded_database_are_told_as_synthetic(
    postgres: Server, shared: Path, name: str
) -> None:
    with an_old_place(postgres, shared, name, 64) as old:
        found = sampled(old)

    assert 0 < sum(one.count for one in found.values()) <= MOST
    large = {dimension: one for dimension, one in found.items() if dimension >= 256}
    assert large
    for one in large.values():
        assert one.is_synthetic
        assert one.zeros > 0.25


@pytest.mark.parametrize(
    "shape",
    ["v is a vector already, with tenants and projects", "upstream's runner died half way: garbage beside the bytes"],
)
def test_the_same_is_told_of_other_columns(old: Place, shape: str) -> None:
    before = sampled(old)
    with old.owner() as connection:
        reshape(connection, shape)

    assert sampled(old) == before


def test_the_vectors_of_a_model_are_not_told_as_synthetic(old: Place) -> None:
    with old.owner() as connection:
        rows = connection.execute(
            "SELECT v.id, v.sector, m.content FROM openmemory_vectors v JOIN openmemory_memories m ON m.id = v.id"
        ).fetchall()
        vectors = asyncio.run(StaticEmbedder().embed([content for _, _, content in rows]))
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE openmemory_vectors SET v = %s, dim = 256 WHERE id = %s AND sector = %s",
                [(vector.tobytes(), id_, sector) for vector, (id_, sector, _) in zip(vectors, rows, strict=True)],
            )

    found = sampled(old)

    assert found[256].count == MOST
    assert found[256].synthetic == 0
    assert found[256].zeros < 0.01


def test_garbage_of_any_length_is_passed_over(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = repeat('x', 8 << 20)::bytea WHERE sector = 'semantic'")
        connection.execute("UPDATE openmemory_vectors SET v = 'abc' WHERE sector = 'episodic'")

    assert sum(one.count for one in sampled(old).values()) == 16 * 3


def test_a_table_without_vectors_tells_nothing(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("TRUNCATE openmemory_vectors")

    assert sampled(old) == {}


def test_the_old_vectors_tell_the_same_until_they_are_dropped(old: Place) -> None:
    before = sampled(old)
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert kept_sample(old.logins.owner, old.names) == before[1536]

    drop_bytea(old.logins.owner, old.names)

    assert kept_sample(old.logins.owner, old.names) is None


def test_a_table_of_which_a_part_is_read_tells_as_much(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_vectors DROP CONSTRAINT openmemory_vectors_pkey")
        connection.execute("ALTER TABLE openmemory_vectors ALTER COLUMN v SET STORAGE PLAIN")
        connection.execute("UPDATE openmemory_vectors SET v = substr(v, 1, 1024)")
        connection.execute("INSERT INTO openmemory_vectors SELECT v.* FROM openmemory_vectors v, generate_series(1, 9)")

    found = sampled(old)

    assert found[256].count == MOST
