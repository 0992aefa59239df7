"""`backup` and `restore` as an operator runs them: asked first, counted, and served afterwards."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from openmemory.postgres import roles
from tests.cli.homes import PATIENCE_S, Home, a_home, a_port, at, interrupt
from tests.cli.old_owners import words
from tests.postgres.databases import Place
from tests.upgrade.catalogues import catalogue


def test_memories_come_back_and_are_served(place: Place, shared_home: Home, tmp_path: Path) -> None:
    there = at(place, shared_home)
    there.run("add", "the spare key lies under the stone", "--json")

    made = there.run("backup", str(tmp_path / "b.dump"), "--json")
    assert made.status == 0, made.err
    assert made.json["rows"]["public.openmemory_memories"] == 1
    there.run("add", "something newer")
    ran = there.run("restore", str(tmp_path / "b.dump"), "--yes", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["rows"] == made.json["rows"]
    assert ran.json["next"] is None
    assert [item["content"] for item in there.run("list", "--json").json["items"]] == [
        "the spare key lies under the stone"
    ]
    roles.check(place.logins.owner, place.names, owner_serves=True)
    assert there.run("add", "and it can be added to").status == 0


@pytest.mark.parametrize("what", [(), ("--tables",)], ids=["all", "tables"])
def test_memories_come_back_into_an_empty_database(
    place: Place, shared_home: Home, tmp_path: Path, what: tuple[str, ...]
) -> None:
    there = at(place, shared_home)
    there.run("add", "the spare key lies under the stone")
    there.run("backup", *what, str(tmp_path / "b.dump"))
    run_sql(place, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    ran = there.run("restore", str(tmp_path / "b.dump"))

    assert ran.status == 0, ran.err
    assert "are back" in ran.out
    assert len(there.run("list", "--json").json["items"]) == 1


def test_a_backup_of_our_tables_comes_back_where_they_were(place: Place, shared_home: Home, tmp_path: Path) -> None:
    there = at(place, shared_home)
    there.run("add", "one")
    made = there.run("backup", "--tables", str(tmp_path / "b.dump"), "--json")
    there.run("add", "two")

    ran = there.run("restore", str(tmp_path / "b.dump"), "--yes", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["rows"] == made.json["rows"]
    assert [item["content"] for item in there.run("list", "--json").json["items"]] == ["one"]
    assert there.run("add", "three").status == 0


def test_a_restore_asks_with_what_it_would_replace(place: Place, shared_home: Home, tmp_path: Path) -> None:
    there = at(place, shared_home)
    there.run("add", "one")
    there.run("backup", str(tmp_path / "b.dump"))
    there.run("add", "two")

    for answer in ("n\n", ""):
        ran = there.run("restore", str(tmp_path / "b.dump"), stdin=answer)
        assert ran.status == 1
        assert "public.openmemory_memories  2 rows" in ran.err
        assert "nothing was changed" in ran.err

    assert len(there.run("list", "--json").json["items"]) == 2


def test_a_restore_that_fails_leaves_an_empty_database_empty(place: Place, shared_home: Home, tmp_path: Path) -> None:
    there = at(place, shared_home)
    there.run("add", "the spare key lies under the stone")
    there.run("backup", "--tables", str(tmp_path / "b.dump"))
    made = "SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    run_sql(place, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CREATE VIEW temporal_facts AS SELECT 1")

    ran = there.run("restore", str(tmp_path / "b.dump"), "--yes")

    assert ran.status == 1
    assert "nothing was restored" in ran.err
    with place.owner() as connection:
        assert connection.execute(made).rowcount == 0


def test_the_embedded_server_is_backed_up_while_it_serves(tmp_path: Path) -> None:
    with a_home() as home:
        own = home.with_settings(OM_EMBEDDINGS="hash", OM_VEC_DIM="64")
        assert own.run("add", "one").status == 0
        with own.serving(a_port()):
            ran = own.run("backup", str(tmp_path / "b.dump"), "--json")
        back = own.run("restore", str(tmp_path / "b.dump"), "--yes", "--json")

        assert ran.status == 0, ran.err
        assert back.json["rows"] == ran.json["rows"]
        assert len(own.run("list", "--json").json["items"]) == 1


def test_a_full_disk_is_reported_and_leaves_no_file(place: Place, shared_home: Home, tmp_path: Path) -> None:
    place.migrate()
    run_sql(place, "CREATE TABLE noise AS SELECT sha512(n::text::bytea) AS n FROM generate_series(1, 20000) AS n")

    with a_small_disk(tmp_path / "small") as folder:
        ran = at(place, shared_home).run("backup", str(folder / "b.dump"))

        assert ran.status == 1
        assert "No space left on device" in ran.err
        assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("command", "standing"),
    [
        (["backup", "{folder}/other.dump"], "stopped: {folder}/other.dump was not written"),
        (["restore", "{folder}/b.dump", "--yes"], "stopped: nothing was restored; what was there is there"),
    ],
)
def test_a_command_stopped_by_ctrl_c_says_how_things_stand(
    command: list[str], standing: str, place: Place, shared_home: Home, tmp_path: Path
) -> None:
    there = at(place, shared_home)
    there.run("add", "the spare key lies under the stone")
    assert there.run("backup", str(tmp_path / "b.dump")).status == 0

    with place.owner() as session, session.transaction():
        session.execute("LOCK TABLE openmemory_memories")
        with there.started(*(word.format(folder=tmp_path) for word in command)) as process:
            wait_until_it_waits(place)
            interrupt(process, signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert standing.format(folder=tmp_path) in said.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]
    assert there.run("query", "spare key", "--json").json["matches"]


def wait_until_it_waits(place: Place) -> None:
    """Return once a session waits for a lock on a table of the database."""
    with place.owner() as watching:
        waits = (
            "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE d.datname = current_database() AND NOT l.granted"
        )
        deadline_s = monotonic() + PATIENCE_S
        while not watching.execute(waits.encode()).rowcount:
            assert monotonic() < deadline_s


def test_our_tables_out_of_a_whole_backup_are_as_those_of_a_backup_of_tables(
    place: Place, shared_home: Home, tmp_path: Path
) -> None:
    there = at(place, shared_home)
    there.run("add", "one")
    run_sql(place, "CREATE TABLE customers AS SELECT 1 AS id")
    whole, alone = tmp_path / "whole.dump", tmp_path / "alone.dump"
    assert there.run("backup", str(whole)).status == 0
    assert there.run("backup", str(alone), "--tables").status == 0

    run_sql(place, "DROP TABLE customers")
    assert there.run("restore", str(alone), "--yes").status == 0
    with place.owner() as connection:
        expected = catalogue(connection, place.names)
    assert there.run("restore", str(whole), "--tables", "--yes").status == 0

    with place.owner() as connection:
        assert catalogue(connection, place.names) == expected
        assert connection.execute("SELECT to_regclass('customers')").fetchone() == (None,)


def test_an_owners_trigger_and_rule_are_named_before_they_go_and_where_they_stay_in_the_file(
    place: Place, shared_home: Home, tmp_path: Path
) -> None:
    there = at(place, shared_home)
    there.run("add", "one")
    run_sql(
        place,
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER audited AFTER INSERT ON openmemory_memories FOR EACH ROW EXECUTE FUNCTION audit()",
        "CREATE RULE noted AS ON DELETE TO openmemory_waypoints DO ALSO NOTIFY gone",
    )
    assert there.run("backup", str(tmp_path / "whole.dump")).status == 0

    asked = there.run("restore", str(tmp_path / "whole.dump"), stdin="n\n")
    back = there.run("restore", str(tmp_path / "whole.dump"), "--tables", "--yes", "--json")

    left = ["RULE public openmemory_waypoints noted", "TRIGGER public openmemory_memories audited"]
    assert "trigger audited, which stands on openmemory_memories" in words(asked)
    assert back.json["left_out"] == left
    assert "; ".join(left) in words(back)
    with place.owner() as connection:
        assert connection.execute("SELECT FROM pg_trigger WHERE tgname = 'audited'").rowcount == 0
    assert there.run("restore", str(tmp_path / "whole.dump"), "--yes", "--json").json["left_out"] == []
    with place.owner() as connection:
        assert connection.execute("SELECT FROM pg_trigger WHERE tgname = 'audited'").rowcount == 1


def run_sql(place: Place, *statements: str) -> None:
    with place.owner() as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """Yield a folder with room for 256 KiB; skips where nothing may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
