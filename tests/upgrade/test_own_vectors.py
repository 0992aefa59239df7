"""What an old vector says otherwise than its memory or its numbers do: told, and kept."""

import pytest

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import DIMENSION, ORDINARY, A, B, C, lift, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

BYTES = b"\x00\x00\x80?" * DIMENSION
USER = "vectors: its user is not that of its memory; kept with the memory"
AS_VECTOR = "ALTER TABLE openmemory_vectors ALTER v TYPE vector USING '[1,1,1,1]'::vector"


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
@pytest.mark.parametrize("as_vector", [None, AS_VECTOR, AS_VECTOR.replace("TYPE vector", "TYPE vector(4)")])
def test_a_vector_of_another_user_than_its_memory_is_told_and_noted(odd: Place, by: str, as_vector: str | None) -> None:
    with odd.owner() as connection:
        connection.execute("CREATE EXTENSION vector")
        for id_, user in ((A, "ada"), (B, None), (C, "cleo")):
            remember(connection, id_, user_id=user)
        vectors = [
            (A, "semantic", "ada"),
            (A, "episodic", "bob"),
            (B, "semantic", "ada"),
            (B, "episodic", ""),
            (C, "semantic", None),
            (C, "episodic", "cleo"),
        ]
        query = "INSERT INTO openmemory_vectors (id, sector, user_id, dim, v) VALUES (%s, %s, %s, 4, %s)"
        connection.cursor().executemany(query, [(*one, BYTES) for one in vectors])
        if as_vector:
            connection.execute(as_vector.encode())
        found = look(odd.logins.owner, odd.names)
        for step in STEPS[: 3 if by == "psql" else 0]:
            assert psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step)).returncode == 0
        report = upgrade(odd.logins.owner, odd.names, ORDINARY)
        noted = connection.execute(
            "SELECT id, sector, original ->> 'user_id' FROM openmemory_row_quarantine ORDER BY id, sector"
        ).fetchall()
        rows = connection.execute("SELECT count(embedding) FROM openmemory_vectors").fetchone()

    assert found.kept_back(DIMENSION) == report.set_aside == {USER: 2}
    assert found.examples == report.examples == {USER: A}
    assert noted == [(A, "episodic", "bob"), (B, "semantic", "ada")]
    assert rows == (6,)


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
@pytest.mark.parametrize("as_vector", [None, AS_VECTOR])
def test_a_dimension_that_its_numbers_contradict_is_told_and_noted(odd: Place, by: str, as_vector: str | None) -> None:
    with odd.owner() as connection:
        connection.execute("CREATE EXTENSION vector")
        remember(connection, A)
        remember(connection, B)
        query = "INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 'semantic', %s, %s)"
        connection.cursor().executemany(query, [(A, DIMENSION, BYTES), (B, 1536, BYTES)])
        if as_vector:
            connection.execute(as_vector.encode())
        found = look(odd.logins.owner, odd.names)
        for step in STEPS[: 3 if by == "psql" else 0]:
            assert psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step)).returncode == 0
        report = upgrade(odd.logins.owner, odd.names, ORDINARY)
        noted = connection.execute("SELECT id, original ->> 'dim' FROM openmemory_row_quarantine").fetchall()

    assert found.kept_back(DIMENSION) == report.set_aside
    assert report.set_aside == {"vectors: its dim is not how many numbers it has; kept by its numbers": 1}
    assert noted == [(B, "1536")]


def test_vectors_whose_ids_are_texts_in_another_writing_are_foretold_as_they_are_found(odd: Place) -> None:
    nan = b"\x00\x00\xc0\x7f" * DIMENSION
    with odd.owner() as connection:
        connection.execute("ALTER TABLE openmemory_vectors ALTER id TYPE text")
        for id_ in (A, B, C):
            remember(connection, id_)
        query = "INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 'semantic', 4, %s)"
        vectors = [(A.upper(), BYTES), (B.replace("-", ""), nan), ("no uuid", BYTES)]
        connection.cursor().executemany(query, vectors)
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)

        assert foretold == lift(odd)
    assert foretold == {"vectors: holds NaN": 1, "vectors: no memory has this id": 1, "vectors: no value": 1}


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
def test_of_two_texts_that_write_one_uuid_in_two_ways_a_vectors_is_told_to_be_no_memorys(odd: Place, by: str) -> None:
    with odd.owner() as connection:
        for table in ("memories", "vectors"):
            connection.execute(f"ALTER TABLE openmemory_{table} ALTER id TYPE text".encode())
        remember(connection, A)
        query = "INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 'semantic', 4, %s)"
        connection.execute(query, [A.upper(), BYTES])
        foretold = look(odd.logins.owner, odd.names).kept_back(DIMENSION)
        for step in STEPS[: 4 if by == "psql" else 0]:
            done = psql(odd, script(odd.logins.owner, odd.names, ORDINARY, step))
            assert done.returncode == 0, done.stderr
        assert foretold == lift(odd) == {"vectors: no memory has this id": 1, "vectors: no value": 1}
        kept = connection.execute("SELECT v, original ->> 'id' FROM openmemory_vector_quarantine").fetchall()
    assert set(kept) == {(BYTES, A.upper()), (None, None)}
