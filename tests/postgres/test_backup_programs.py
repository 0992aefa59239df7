"""Which pg_dump is used: too old a one, one that gets nowhere and one that leaves rows out are not."""

from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import dump, read
from openmemory.postgres.backup.programs import candidates, choose, way_of
from tests.postgres.databases import Place
from tests.postgres.dumps import NEW
from tests.upgrade.old_databases import program

OLDER = NEW.replace("pginstall18", "pginstall")


def test_too_old_a_program_is_refused_with_the_remedy(old: Place, tmp_path: Path) -> None:
    with old.owner() as connection:
        server = connection.info.server_version // 10_000
    if server < 17:
        pytest.skip("the server is no newer than the older program of the wheel")

    with pytest.raises(ConfigurationError, match=f"16, too old for the server's {server}.*postgresql-client-{server}"):
        dump(old.logins.owner, tmp_path / "b.dump", OLDER)

    assert not list(tmp_path.iterdir())


def test_a_too_old_program_of_the_path_is_passed_over(
    old: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(OLDER).parent))

    assert dump(old.logins.owner, tmp_path / "b.dump")


def test_a_program_that_is_none_is_refused(old: Place, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="OM_PG_DUMP=/nowhere/pg_dump is no program"):
        dump(old.logins.owner, tmp_path / "b.dump", "/nowhere/pg_dump")
    with pytest.raises(ConfigurationError, match="does not tell its version"):
        dump(old.logins.owner, tmp_path / "b.dump", "true")


def test_a_program_without_tls_is_refused_where_the_server_wants_it(old: Place) -> None:
    with old.owner() as connection:
        way = way_of({**old.logins.owner, "sslmode": "require"}, connection)

    with pytest.raises(ConfigurationError, match=r"SSL.*no TLS compiled in.*Install postgresql-client-18.*OM_PG_DUMP"):
        choose(candidates(NEW), way, 18)


def test_a_dump_that_lacks_rows_does_not_count(old: Place, tmp_path: Path) -> None:
    liar = tmp_path / "pg_dump"
    liar.write_text(f'#!/bin/sh\nexec {NEW} "$@" --exclude-table-data=openmemory_vectors\n')
    liar.chmod(0o755)
    (tmp_path / "pg_restore").symlink_to(program("pg_restore"))

    with pytest.raises(ConfigurationError, match=r"not whole.*openmemory_vectors: none of 715 rows"):
        dump(old.logins.owner, tmp_path / "b.dump", str(liar))

    assert not list(tmp_path.glob("b.dump*"))


def test_a_program_with_more_warnings_than_a_pipe_holds_is_read_to_its_end(old: Place, tmp_path: Path) -> None:
    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)
    wordy = tmp_path / "pg_restore"
    real = program("pg_restore")
    wordy.write_text(f"#!/bin/sh\nyes 'pg_restore: warning: so it is' | head -c 1000000 >&2\nexec {real} \"$@\"\n")
    wordy.chmod(0o755)
    (tmp_path / "pg_dump").symlink_to(NEW)

    assert read(tmp_path / "b.dump", str(tmp_path / "pg_dump")).rows == rows
