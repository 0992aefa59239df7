"""Which data folders the embedded server takes, which it refuses, and what it leaves alone."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded import default_data_dir, place_of, start
from tests.postgres.embedded.processes import (
    PATIENCE_S,
    another_process,
    ask,
    dismiss,
    is_reachable,
    modes,
    needs_root,
    remember,
    said,
    words,
)


def test_only_the_owner_may_read_what_lies_in_the_folder(data: Path) -> None:
    with start(data) as server:
        private = [data, server.socket_dir, data / "log", data / "postgres", data / "postgres" / "openmemory.passwords"]

        assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in private)
        assert len({path.stat().st_uid for path in private}) == 1


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(place: Path) -> None:
    (place / "thesis.txt").write_text("mine")
    before = modes(place, place / "thesis.txt")

    with pytest.raises(ConfigurationError, match=f"{place} holds something else .*OM_DATA_DIR"):
        start(place)

    assert [path.name for path in place.iterdir()] == ["thesis.txt"]
    assert modes(place, place / "thesis.txt") == before


def test_a_file_is_refused(place: Path) -> None:
    (place / "data").write_text("")

    with pytest.raises(ConfigurationError, match=r"not a folder.*OM_DATA_DIR"):
        start(place / "data")


def test_data_of_another_postgresql_are_refused(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(ConfigurationError, match=r"postgres is of PostgreSQL 17.* brings 18.*Export"):
        start(data)


def test_a_database_with_a_part_missing_is_refused(data: Path) -> None:
    (data / "postgres" / "openmemory.passwords").unlink()

    with pytest.raises(ConfigurationError, match=r"not whole.*openmemory\.passwords.*backup"):
        start(data)


@pytest.mark.parametrize("size", [0, 100, 8191])
def test_a_control_file_that_is_cut_is_named(data: Path, size: int) -> None:
    os.truncate(data / "postgres" / "global" / "pg_control", size)

    with pytest.raises(ConfigurationError, match=rf"not whole: .*pg_control has {size} of 8192 bytes.*backup"):
        start(data)


def test_passwords_that_are_cut_are_named(data: Path) -> None:
    os.truncate(data / "postgres" / "openmemory.passwords", 0)

    with pytest.raises(ConfigurationError, match=r"not whole: .*openmemory\.passwords .*backup"):
        start(data)


@pytest.mark.parametrize("part", [".", "postgres"])
def test_a_folder_that_others_may_write_to_is_refused(data: Path, part: str) -> None:
    (data / part).chmod(0o777)

    with pytest.raises(ConfigurationError, match=r"chmod 700"):
        start(data)


def test_a_path_too_long_for_a_socket_gets_a_private_one_elsewhere(place: Path) -> None:
    # initdb cannot start what lies below a double quote, and programs that must be copied lie in the folder.
    quote = ' and "' if is_reachable else ""
    data = place / ("long" * 30) / f"da,ta with 'quotes' and \\ and spaces{quote}"

    with start(data) as server:
        remember(server, "kept")
        elsewhere = server.socket_dir
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
    assert not elsewhere.exists()

    (place / "short").mkdir()
    data.rename(place / "short" / "data")
    with start(place / "short" / "data") as server:
        assert words(server) == "kept"
        assert server.socket_dir == place / "short" / "data" / "run"


def test_two_processes_agree_on_the_socket_of_a_long_path(place: Path) -> None:
    with start(place / ("long" * 30)) as server, start(place / ("long" * 30)) as other:
        assert server.socket_dir == other.socket_dir
        assert ask(other.server_dsn(), "SELECT 1") == 1


def test_nothing_outside_the_folder_changes(place: Path) -> None:
    (place / "outer").mkdir()
    (place / "outer").chmod(0o751)
    outside = [place / "outer", *(place / "outer").parents]
    before = modes(*outside)

    start(place / "outer" / "data").stop()

    assert modes(*outside) == before
    assert [path.name for path in (place / "outer").iterdir()] == ["data"]


@needs_root
def test_a_data_folder_of_an_earlier_version_is_used_where_it_is(data: Path) -> None:
    with start(data) as server:
        assert server.data_dir == data == place_of(data)


def test_two_processes_that_make_one_folder_at_once_share_it(place: Path) -> None:
    with another_process(place / "data") as one, another_process(place / "data") as other:
        assert (said(one), said(other)) == ("ready", "ready")
        assert dismiss(one) == dismiss(other) == 0

    assert [path.name for path in place.iterdir()] == ["data"]


def test_ctrl_c_while_the_folder_is_made_leaves_nothing(place: Path) -> None:
    interrupted = """
import sys
def press(event, arguments):
    if event == "os.rename" and ".openmemory-" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(press)
"""
    with another_process(place / "data", before=interrupted) as process:
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert list(place.iterdir()) == []


@needs_root
def test_a_full_disk_is_refused_with_the_way_out(place: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "none", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(ConfigurationError, match=rf"(?s){place}/data.*No space left on device.*Free some space"):
            start(place / "data")
    finally:
        subprocess.run(["umount", place], check=True)


@needs_root
def test_a_read_only_disk_is_refused_with_the_way_out(place: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=755", "none", place], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(ConfigurationError, match=rf"Read-only file system: {place}/data.*OM_DATA_DIR"):
            start(place / "data")
    finally:
        subprocess.run(["umount", place], check=True)


def test_the_default_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_data_dir() == Path("/home/ada/.local/share/openmemory")

    monkeypatch.setenv("XDG_DATA_HOME", "/mnt/data")
    assert default_data_dir() == Path("/mnt/data/openmemory")

    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_data_dir() == Path("/home/ada/Library/Application Support/openmemory")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/openmemory")
