"""What comes back of dumps, with PostgreSQL's own programs on real old databases: all of it, or nothing is changed."""

from pathlib import Path

import pytest
from psycopg import sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import dump, our_tables, read, replaced, restore
from openmemory.postgres.statements import Names
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.postgres.dumps import NEW, count, run, tables_of, vectors_of


def test_what_was_changed_and_dropped_comes_back_byte_by_byte(old: Place, tmp_path: Path) -> None:
    before = vectors_of(old)
    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DROP TABLE openmemory_waypoints", "UPDATE openmemory_vectors SET v = '\\x00'", "CREATE TABLE other ()")

    back = restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names, replace=True)

    assert back == rows
    assert vectors_of(old) == before
    assert count(old, "openmemory_waypoints") == rows["public.openmemory_waypoints"]
    assert count(old, "other") == 0


def test_a_backup_of_our_tables_comes_back_in_another_database(old: Place, postgres: Server, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW, our_tables(old.logins.owner, old.names))

    with a_place(postgres, Names(dimension=1536)) as place:
        restore(place.logins.owner, tmp_path / "b.dump", NEW, names=place.names, replace=False)
        assert vectors_of(place) == vectors_of(old)


def test_nothing_is_replaced_without_consent(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DELETE FROM openmemory_vectors")

    with pytest.raises(ConfigurationError, match=r"openmemory_memories.*--yes"):
        restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names, replace=False)

    assert count(old, "openmemory_vectors") == 0
    told = replaced(old.logins.owner, read(tmp_path / "b.dump", NEW), old.names)
    assert told.tables["public.openmemory_vectors"] == 0
    assert told.tables["public.openmemory_memories"] == count(old, "openmemory_memories")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused_before_anything_is_touched(old: Place, tmp_path: Path, share: float) -> None:
    whole, cut = tmp_path / "b.dump", tmp_path / "cut.dump"
    dump(old.logins.owner, whole, NEW)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    before = vectors_of(old)

    with pytest.raises(ConfigurationError, match=r"damaged|cut off"):
        restore(old.logins.owner, cut, NEW, names=old.names, replace=True)

    assert vectors_of(old) == before


def test_a_foreign_file_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "b.sql").write_text("SELECT 1;")
    run(place, "CREATE TABLE customers AS SELECT 1 AS id")
    dump(place.logins.owner, tmp_path / "b.dump", NEW)

    with pytest.raises(ConfigurationError, match="is no backup"):
        restore(place.logins.owner, tmp_path / "b.sql", NEW, names=place.names, replace=False)
    with pytest.raises(ConfigurationError, match="is no backup"):
        restore(place.logins.owner, tmp_path / "b.dump", NEW, names=place.names, replace=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        restore(place.logins.owner, tmp_path / "none.dump", NEW, names=place.names, replace=False)
    assert count(place, "customers") == 1


def test_a_restore_that_fails_leaves_what_was_there(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DELETE FROM openmemory_vectors", "CREATE VIEW mine AS SELECT * FROM openmemory_vectors")

    with pytest.raises(ConfigurationError, match=r"nothing was restored.*DROP VIEW public\.mine;"):
        restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names, replace=True)

    assert count(old, "mine") == 0
    assert count(old, "openmemory_memories") > 0


def test_an_old_database_comes_back_over_a_migrated_one(old: Place, place: Place, tmp_path: Path) -> None:
    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)
    place.migrate()
    run(
        place,
        "CREATE SCHEMA openmemory_old_public",
        "CREATE TABLE openmemory_old_public.openmemory_vectors (v bytea)",
        "CREATE TABLE openmemory_upgrade (name text, value text)",
        "CREATE TABLE openmemory_vector_quarantine (reason text)",
    )

    restore(place.logins.owner, tmp_path / "b.dump", NEW, names=place.names, replace=True)

    assert tables_of(place) == {*rows}
    assert vectors_of(place) == vectors_of(old)
    with place.owner() as connection:
        assert not connection.execute("SELECT FROM pg_proc WHERE proname = 'openmemory_faded'").fetchall()
        assert not connection.execute("SELECT FROM pg_type WHERE typname = 'openmemory_textrange'").fetchall()


def test_a_session_in_the_way_is_named_and_nothing_is_lost(
    old: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmemory.postgres.backup.restoring._PATIENCE", "50ms")
    dump(old.logins.owner, tmp_path / "b.dump", NEW)

    with old.owner() as reader, reader.transaction():
        reader.execute("SELECT FROM openmemory_vectors LIMIT 1")
        with pytest.raises(ConfigurationError, match="other sessions use the tables"):
            restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names, replace=True)


def test_odd_tables_come_back_too(old: Place, tmp_path: Path) -> None:
    odd = sql.Identifier("a.b", 'say "COPY"').as_string()
    texts = r"(E'\\.'), (E'\\.\n\\.\nCOPY a.b FROM stdin;\n'), (NULL), ('')"
    run(
        old,
        'CREATE SCHEMA "a.b"',
        f"CREATE TABLE {odd} (\"the text\" text, twice text GENERATED ALWAYS AS ('2') STORED)",
        f"INSERT INTO {odd} VALUES {texts}",
        "CREATE TABLE nothing ()",
        "INSERT INTO nothing DEFAULT VALUES",
        "CREATE TABLE parts (n int) PARTITION BY LIST (n)",
        "CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1)",
        "INSERT INTO parts VALUES (1), (1)",
        "CREATE UNLOGGED TABLE quick AS SELECT 1 AS n",
        "CREATE MATERIALIZED VIEW seen AS SELECT * FROM parts",
        "SELECT lo_from_bytea(4711, decode(repeat('00ff5c2e0a', 500000), 'hex'))",
        "CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$ SELECT '\nCOPY x.y FROM stdin\n' $$",
        "CREATE TRIGGER no_change BEFORE UPDATE ON nothing"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )
    there = f'SELECT "the text" FROM {odd} ORDER BY 1'
    with old.owner() as connection:
        before = connection.execute(there.encode()).fetchall()

    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "SELECT lo_unlink(4711)", 'DROP SCHEMA "a.b" CASCADE', "DROP TABLE quick", "DELETE FROM parts")
    restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names, replace=True)

    assert rows['a.b.say "COPY"'] == 4
    with old.owner() as connection:
        assert not connection.execute("SELECT FROM pg_namespace WHERE nspname = 'a'").fetchall()
    assert rows["public.nothing"] == 1
    assert rows["public.part_1"] == 2
    with old.owner() as connection:
        assert connection.execute(there.encode()).fetchall() == before
        assert connection.execute("SELECT length(lo_get(4711)), (SELECT count(*) FROM seen)").fetchone() == (2500000, 2)
