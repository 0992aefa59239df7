"""What stops `migrate` on an old database before it begins stops the files for psql as well."""

import pytest

from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.databases import Place

TWO_WRITINGS = (
    "ALTER TABLE openmemory_memories ALTER COLUMN id TYPE text;"
    "INSERT INTO openmemory_memories SELECT (jsonb_populate_record(m, jsonb_build_object('id', upper(id)))).*"
    "  FROM openmemory_memories m WHERE id ~ '[a-f]' LIMIT 3"
)
OTHER_NAMES = "ALTER TABLE openmemory_memories RENAME TO mem; ALTER TABLE openmemory_vectors RENAME TO vec"


@pytest.mark.parametrize("step", ["1", "3"])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (TWO_WRITINGS, "3 ids of memories are there more than once"),
        ("CREATE TABLE openmemory_meta (own text)", "under a name of the new tables: openmemory_meta"),
        (OTHER_NAMES, "By their columns it may be OM_PG_TABLE=mem OM_VECTOR_TABLE=vec"),
    ],
    ids=["doubled ids", "a taken name", "tables of other names"],
)
def test_what_migrate_refuses_before_it_begins_no_file_is_written_for(
    owner: Home, old: Place, made: str, said: str, step: str
) -> None:
    with old.owner() as connection:
        connection.execute(made.encode())

    ran, printed = owner.run("migrate", "--yes"), owner.run("migrate", "sql", step)

    assert said in words(ran)
    assert (ran.status, printed.status, printed.out, printed.err) == (1, 1, "", ran.err)


def test_a_dimension_that_no_vector_has_and_an_index_that_does_not_fit_get_no_file(owner: Home, old: Place) -> None:
    other = owner.run("migrate", "sql", "3", "--dim", "77")
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = v || v, dim = 3072")
    indexed = owner.with_settings(OM_PGVECTOR_INDEX_TYPE="hnsw").run("migrate", "sql", "1")

    assert (other.status, other.out, indexed.status, indexed.out) == (1, "", 1, "")
    assert "no vector in the database has that many; there are 1536" in words(other)
    assert "up to 2000 dimensions, the vectors have 3072" in words(indexed)


@pytest.mark.parametrize("command", [("--yes",), ("sql", "1")], ids=["migrate", "sql"])
def test_vectors_that_no_server_takes_are_refused_with_the_way_out(
    owner: Home, old: Place, command: tuple[str, ...]
) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_vectors SET v = v || v || v || v || v || v, dim = 9216")

    ran = owner.run("migrate", *command)

    assert ran.status == 1
    assert "the old vectors have 9,216 dimensions, and a server takes at most 8,192" in words(ran)
    assert "(--dim N)" in words(ran)
    assert owner.run("migrate", "sql", "1", "--dim", "256").status == 0
    lifted = owner.run("migrate", "--yes", "--json", "--dim", "256").json["report"]
    assert (lifted["rows"]["vectors"], sum(lifted["set_aside"].values())) == (0, 715)


@pytest.mark.parametrize("command", [("--dry-run",), ("sql", "3")], ids=["migrate", "sql"])
def test_more_dimensions_than_a_server_takes_cannot_be_asked_for(
    owner: Home, old: Place, command: tuple[str, ...]
) -> None:
    ran = owner.run("migrate", *command, "--dim", "8193")

    assert ran.status == 2
    assert "8192" in words(ran)


def test_files_are_written_for_an_upgrade_under_way_and_for_one_that_is_over(owner: Home, old: Place) -> None:
    assert owner.run("migrate", "--yes", "--step", "1").status == 0
    assert owner.run("migrate", "sql", "2").status == 0
    other = owner.run("migrate", "sql", "2", "--tenant", "acme")
    assert (other.status, other.out) == (1, "")
    assert "--tenant acme: the upgrade was begun with default" in words(other)
    assert owner.run("migrate", "--yes").status == 0

    assert owner.run("migrate", "sql", "5").status == 0
