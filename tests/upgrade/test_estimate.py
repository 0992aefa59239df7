"""The room that an upgrade will take, as it is foretold."""

from dataclasses import replace

import pytest

from openmemory.postgres.shared_indexes import IndexChoice, size_of
from openmemory.postgres.upgrade.look import look
from tests.postgres.databases import Place


def test_the_estimate_grows_with_the_vectors(old: Place) -> None:
    found = look(old.logins.owner, old.names)
    more = replace(found, rows={**found.rows, "vectors": 10 * found.rows["vectors"]})
    small, large = found.estimate("vector", 1536), more.estimate("vector", 1536)
    assert small.bytes > 715 * 1536 * 4
    assert large.bytes - small.bytes > 9 * 715 * 1536 * 4
    assert large.wal_bytes > small.wal_bytes
    assert large.seconds > small.seconds
    assert found.estimate("halfvec", 1536).bytes < small.bytes


def test_the_estimate_grows_with_what_the_memories_say(old: Place) -> None:
    before = look(old.logins.owner, old.names).estimate("vector", 1536)
    with old.owner() as connection:
        # Digits of hashes, which hardly compress.
        connection.execute(
            "UPDATE openmemory_memories SET content ="
            " (SELECT string_agg(md5(id::text || i), '') FROM generate_series(1, 300) AS i)"
        )
        size = connection.execute("SELECT sum(pg_column_size(content)) FROM openmemory_memories").fetchone()

    after = look(old.logins.owner, old.names).estimate("vector", 1536)

    assert size is not None
    assert after.bytes - before.bytes > 0.9 * int(size[0])


def test_the_time_grows_with_the_length_of_the_texts_however_well_they_compress(old: Place) -> None:
    before = look(old.logins.owner, old.names)
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET content = repeat('The garden was in bloom. ', 10000)")

    after = look(old.logins.owner, old.names)

    assert after.said_bytes == 568 * 250_000
    assert after.text_bytes < after.said_bytes / 10
    more = after.estimate("vector", 1536).seconds - before.estimate("vector", 1536).seconds
    assert more == pytest.approx(after.estimate("vector", 1536).text_seconds, rel=0.01)
    assert more > 568 * 250_000 / 10e6


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
@pytest.mark.parametrize(("vector_type", "dimension"), [("vector", 256), ("vector", 1990), ("halfvec", 700)])
def test_the_estimate_of_the_guides_indexes_is_what_they_take(
    place: Place, kind: str, vector_type: str, dimension: int
) -> None:
    choice = IndexChoice(kind, m=16, ef_construction=32, lists=10)
    with place.owner() as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("SET maintenance_work_mem = '256MB'")  # pgvector 0.8.0 asks for more room than 0.8.6
        connection.execute(
            f"CREATE TABLE v AS SELECT i, array_agg(random()::real)::{vector_type} AS embedding"
            f" FROM generate_series(1, 600) AS i CROSS JOIN generate_series(1, {dimension}) AS j GROUP BY i".encode()
        )
        connection.execute(f"ALTER TABLE v ALTER embedding TYPE {vector_type}({dimension})".encode())
        options = "m = 16, ef_construction = 32" if kind == "hnsw" else "lists = 10"
        operators = f"{vector_type}_cosine_ops"
        connection.execute(f"CREATE INDEX i ON v USING {kind} (embedding {operators}) WITH ({options})".encode())
        row = connection.execute("SELECT pg_relation_size('i')").fetchone()

    assert row is not None
    of_one = size_of(choice, vector_type, dimension, 600) - (4 * 10 * 8192 if kind == "ivfflat" else 0)
    assert of_one == pytest.approx(int(row[0]), rel=0.1)
    assert size_of(IndexChoice("auto"), vector_type, dimension, 600) == 0
