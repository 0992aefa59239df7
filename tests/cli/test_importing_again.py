"""`import sqlite` run again: with the right model it brings the vectors, and it tells what differs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.cli.test_importing import bare, digest, file
from tests.postgres.databases import Place

__all__ = ["bare", "file"]

NOT_SAID = "vectors: not said to be of the database's model; say so (--embedding-model) and run this again"
ONE = "(SELECT min(id) FROM memories WHERE id IN (SELECT id FROM vectors))"


def test_vectors_that_were_left_out_are_counted_and_the_right_model_brings_them(
    bare: Home, place: Place, file: Path
) -> None:
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--yes")
    first = bare.run(*arguments, "--json").json
    assert (first["set_aside"][NOT_SAID], first["filled"]) == (555, 0)
    assert f"left out: 555 {NOT_SAID}" in words(bare.run(*arguments))

    told = words(bare.run(*arguments, "--embedding-model", "none"))

    assert "memories: 428 rows there already, the same" in told
    assert "555 vectors given to memories that were there without" in told
    assert NOT_SAID not in told
    with place.owner() as connection:
        query = "SELECT id::text, sector, embedding::real[] FROM openmemory_vectors WHERE embedding IS NOT NULL"
        found = {(id_, sector): len(vector) for id_, sector, vector in connection.execute(query.encode())}
    with closing(sqlite3.connect(file)) as connection:
        assert found == {(row[0], row[1]): 1536 for row in connection.execute("SELECT id, sector FROM vectors")}
    before = digest(place)
    assert bare.run(*arguments, "--embedding-model", "none", "--json").json["filled"] == 0
    assert digest(place) == before


def test_a_memory_that_was_changed_since_gets_no_vector_of_what_it_said(bare: Home, place: Place, file: Path) -> None:
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--yes")
    assert bare.run(*arguments).status == 0
    with place.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET content = 'mine now'")

        assert bare.run(*arguments, "--embedding-model", "none", "--json").json["filled"] == 0
        assert connection.execute("SELECT count(embedding) FROM openmemory_vectors").fetchone() == (0,)


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE memories SET salience = 0.125 WHERE id = {ONE}",
        f"UPDATE vectors SET v = zeroblob(6144) WHERE id = {ONE}",
        f"INSERT INTO vectors (id, sector, v, dim) SELECT {ONE}, 'other', zeroblob(6144), 1536",
    ],
)
def test_a_memory_of_which_only_the_vector_or_the_salience_differs_is_not_the_same(
    bare: Home, place: Place, file: Path, change: str
) -> None:
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")
    assert bare.run(*arguments).status == 0
    before = digest(place)
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        one = upstreams.execute(f"SELECT {ONE}").fetchone()[0]
        upstreams.execute(change)

    already = bare.run(*arguments).json["already"]["memories"]

    assert already == {"same": 427, "contradicting": 1, "first_ids": [one]}
    assert digest(place) == before
