"""Dumps of real old databases with PostgreSQL's own programs: whole, of whoever may read all, or no file."""

import errno
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import dump, our_tables, read
from tests.postgres.databases import Place
from tests.postgres.dumps import NEW, count, run
from tests.upgrade.old_databases import summary

NAME = "legacy-pre-pgvector"


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


def test_a_name_that_is_taken_in_the_last_moment_stays_as_it_is(old: Place, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "b.dump", tmp_path / "not mounted"

    def take(step: str) -> None:
        if step.startswith("counting what is in the file") and not file.is_symlink():
            file.symlink_to(elsewhere)

    with pytest.raises(ConfigurationError, match="appeared meanwhile"):
        dump(old.logins.owner, file, NEW, None, take)

    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]
    assert file.readlink() == elsewhere
    with pytest.raises(ConfigurationError, match="exists already"):
        dump(old.logins.owner, file, NEW)


def test_a_disk_without_hard_links_holds_backups_too(
    old: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", link)

    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)

    assert read(tmp_path / "b.dump", NEW).rows == rows
    assert [path.name for path in tmp_path.iterdir()] == ["b.dump"]


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
