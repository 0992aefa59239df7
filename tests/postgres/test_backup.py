"""Dumps and what comes back of them, with PostgreSQL's own programs on real old databases."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import dump, our_tables, read, replaced, restore
from openmemory.postgres.statements import Names
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.upgrade.old_databases import an_old_place, program, summary

NAME = "legacy-pre-pgvector"
# The programs of the wheel, so that a system's do not matter.
NEW = program("pg_dump")


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, NAME, 1536) as place:
        yield place


def test_a_backup_has_every_row_of_every_table(old: Place, shared: Path, tmp_path: Path) -> None:
    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)

    assert {f"public.{name}": n for name, n in summary(shared, NAME)["row_counts"].items()}.items() <= rows.items()
    assert read(tmp_path / "b.dump", NEW).rows == rows
    assert (tmp_path / "b.dump").stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["b.dump"]


def test_only_our_tables_are_backed_up_where_asked(old: Place, tmp_path: Path) -> None:
    run(old, "CREATE TABLE customers (id int)")

    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW, our_tables(old.logins.owner, old.names))

    assert "public.openmemory_vectors" in rows
    assert "public.customers" not in rows


def test_rows_written_during_the_dump_are_neither_in_the_file_nor_missed(old: Place, tmp_path: Path) -> None:
    def write(step: str) -> None:
        if step.startswith("writing"):
            run(old, "INSERT INTO openmemory_users (user_id) VALUES ('late')")

    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW, None, write)

    assert rows["public.openmemory_users"] == count(old, "openmemory_users") - 1


def test_a_file_that_exists_is_never_written_over(old: Place, tmp_path: Path) -> None:
    (tmp_path / "b.dump").write_text("precious")

    with pytest.raises(ConfigurationError, match="exists already"):
        dump(old.logins.owner, tmp_path / "b.dump", NEW)

    assert (tmp_path / "b.dump").read_text() == "precious"


def test_a_login_that_row_level_security_binds_is_refused(place: Place, tmp_path: Path) -> None:
    place.migrate()
    role = place.with_role()
    run(place, f'GRANT pg_read_all_data TO "{role}"')

    with pytest.raises(ConfigurationError, match=r"row-level security hides rows of .*BYPASSRLS"):
        dump(place.as_role(role), tmp_path / "b.dump", NEW)

    assert not list(tmp_path.iterdir())


def test_a_login_that_may_not_read_all_is_refused(old: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"may not read .*--tables"):
        dump(old.as_role(old.with_role()), tmp_path / "b.dump", NEW)


def test_a_role_made_for_backups_reads_all(place: Place, tmp_path: Path) -> None:
    place.migrate()
    role = place.with_role("NOLOGIN BYPASSRLS")
    run(place, f'GRANT pg_read_all_data TO "{role}"', "INSERT INTO openmemory_tenants (tenant_id) VALUES ('a')")
    run(place, "INSERT INTO openmemory_users (tenant_id, user_id) VALUES ('a', 'u')")

    assert dump(place.as_role(role), tmp_path / "b.dump", NEW)["public.openmemory_users"] == 1


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
        restore(place.logins.owner, tmp_path / "b.dump", NEW, names=place.names)
        assert vectors_of(place) == vectors_of(old)


def test_nothing_is_replaced_without_consent(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DELETE FROM openmemory_vectors")

    with pytest.raises(ConfigurationError, match=r"openmemory_memories.*--yes"):
        restore(old.logins.owner, tmp_path / "b.dump", NEW, names=old.names)

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
        restore(place.logins.owner, tmp_path / "b.sql", NEW)
    with pytest.raises(ConfigurationError, match="is no backup"):
        restore(place.logins.owner, tmp_path / "b.dump", NEW, replace=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        restore(place.logins.owner, tmp_path / "none.dump", NEW)
    assert count(place, "customers") == 1


def test_a_restore_that_fails_leaves_what_was_there(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DELETE FROM openmemory_vectors", "CREATE VIEW mine AS SELECT * FROM openmemory_vectors")

    with pytest.raises(ConfigurationError, match=r"nothing was restored.*view mine depends"):
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


def test_an_interrupted_backup_leaves_no_file(old: Place, tmp_path: Path) -> None:
    def interrupt(step: str) -> None:
        if step.startswith("counting what is in the file"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dump(old.logins.owner, tmp_path / "b.dump", NEW, None, interrupt)

    assert not list(tmp_path.iterdir())


def test_a_program_that_outlived_its_killed_backup_writes_nowhere_into_the_next(old: Place, tmp_path: Path) -> None:
    with (tmp_path / "b.dump.partial").open("wb") as outliving:
        rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)
        outliving.write(b"x" * 4_000_000)

    assert read(tmp_path / "b.dump", NEW).rows == rows
    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]


def test_of_two_backups_into_one_file_the_second_is_refused(old: Place, tmp_path: Path) -> None:
    refused = []

    def second(step: str) -> None:
        if step.startswith("writing"):
            with pytest.raises(ConfigurationError, match="another backup is writing it") as error:
                dump(old.logins.owner, tmp_path / "b.dump", NEW)
            refused.append(error)

    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW, None, second)

    assert refused
    assert read(tmp_path / "b.dump", NEW).rows == rows


def test_a_lost_connection_leaves_no_file(old: Place, tmp_path: Path) -> None:
    def cut(step: str) -> None:
        if step.startswith("counting public.openmemory_vectors"):
            run(
                old,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()",
            )

    with pytest.raises(ConfigurationError, match="no backup was made"):
        dump(old.logins.owner, tmp_path / "b.dump", NEW, None, cut)

    assert not list(tmp_path.iterdir())


def run(place: Place, *statements: str) -> None:
    with place.owner() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def count(place: Place, table: str) -> int:
    with place.owner() as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row[0])


def tables_of(place: Place) -> set[str]:
    query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^pg_|^information'"
    with place.owner() as connection:
        return {str(name) for (name,) in connection.execute(query)}


def vectors_of(place: Place) -> dict[tuple[str, str], str]:
    """Return the checksum of each old vector."""
    with place.owner() as connection:
        cursor: psycopg.Cursor[tuple[str, str, bytes]] = connection.cursor(binary=True)
        found = cursor.execute("SELECT id::text, sector, v FROM openmemory_vectors").fetchall()
    return {(id_, sector): hashlib.sha256(v).hexdigest() for id_, sector, v in found}
