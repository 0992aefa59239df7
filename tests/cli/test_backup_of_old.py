"""`backup` and `restore` around an upgrade: the old tables over the new ones, and the new ones over the old."""

from pathlib import Path

import pytest

from openmemory.postgres import roles
from tests.cli.homes import Home, at
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place


@pytest.fixture(scope="module")
def recorded(shared: Path) -> Path:
    """Return the shared folder as a path that holds in every working folder."""
    return shared.absolute()


def test_an_old_database_comes_back_over_its_migrated_self(
    postgres: Server, place: Place, recorded: Path, shared_home: Home, tmp_path: Path
) -> None:
    with an_old_place(postgres, recorded, "legacy-v1.2.0", 1536) as old:
        made = at(old, shared_home).run("backup", str(tmp_path / "b.dump"), "--json").json
    place.migrate()

    ran = at(place, shared_home).run("restore", str(tmp_path / "b.dump"), "--yes", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["rows"] == made["rows"]
    assert ran.json["next"] == "openmemory migrate"
    assert at(place, shared_home).run("migrate", "status", "--json").json["is_foreign"]


def test_a_backup_of_the_new_tables_comes_back_over_the_old_ones(
    postgres: Server, recorded: Path, shared_home: Home, tmp_path: Path
) -> None:
    with an_old_place(postgres, recorded, "legacy-v1.2.0", 1536) as old:
        there = at(old, shared_home)
        assert there.run("backup", str(tmp_path / "old.dump")).status == 0
        assert there.run("migrate", "--yes", "--embedding-model", "theirs").status == 0
        made = there.run("backup", "--tables", str(tmp_path / "new.dump"), "--json")
        assert there.run("restore", str(tmp_path / "old.dump"), "--yes").status == 0

        ran = there.run("restore", str(tmp_path / "new.dump"), "--yes", "--json")

        assert ran.status == 0, ran.err
        assert (ran.json["rows"], ran.json["next"]) == (made.json["rows"], None)
        roles.check(old.logins.owner, old.names, owner_serves=True)


def test_a_restore_names_what_stands_on_the_old_tables_that_it_drops(
    postgres: Server, recorded: Path, shared_home: Home, tmp_path: Path
) -> None:
    with an_old_place(postgres, recorded, "legacy-v1.2.0", 1536) as old:
        there = at(old, shared_home)
        there.run("backup", str(tmp_path / "b.dump"))
        with old.owner() as connection:
            connection.execute("CREATE VIEW theirs AS SELECT id FROM openmemory_vectors")
        assert there.run("migrate", "--yes", "--embedding-model", "theirs").status == 0

        ran = there.run("restore", str(tmp_path / "b.dump"), stdin="n\n")

    assert ran.status == 1
    assert "all of schema openmemory_old_public" in ran.err
    assert "view theirs, which stands on openmemory_vectors" in ran.err
