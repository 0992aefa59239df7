"""The life of the embedded server: started, shared, killed, stopped; real folders, real processes."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded import start
from openmemory.postgres.embedded.engine import find_engine
from openmemory.postgres.embedded.folder import open_folder
from openmemory.postgres.embedded.locks import Patience
from tests.postgres.embedded.processes import (
    NOBODY,
    another_process,
    ask,
    dismiss,
    is_stopped,
    needs_other_user,
    needs_root,
    postmaster,
    press_ctrl_c,
    remember,
    said,
    words,
)


def test_a_new_folder_gets_a_database_that_the_server_may_use(place: Path) -> None:
    with start(place / "deep" / "data") as server:
        assert ask(server.server_dsn(), "SELECT current_user || '@' || current_database()") == (
            "openmemory_server@openmemory"
        )
        assert ask(server.server_dsn(), "SELECT upper('é')") == "É"
        assert ask(server.server_dsn(), "SHOW data_checksums") == "on"
        assert ask(server.server_dsn(), "SHOW server_encoding") == "UTF8"

    assert is_stopped(place / "deep" / "data")


def test_data_survive_a_restart(data: Path) -> None:
    with start(data) as server:
        remember(server, "kept")

    with start(data) as server:
        assert words(server) == "kept"


def test_data_survive_the_kill_of_postgresql(data: Path) -> None:
    with start(data) as server:
        remember(server, "kept")
        os.kill(postmaster(data), signal.SIGKILL)

        with start(data) as again:
            assert words(again) == "kept"


def test_stopping_a_server_that_was_killed_is_quiet(data: Path) -> None:
    server = start(data)
    os.kill(postmaster(data), signal.SIGKILL)

    server.stop()
    server.stop()


def test_a_server_whose_users_were_killed_is_taken_over(data: Path) -> None:
    with another_process(data) as process:
        assert said(process) == "ready"
        process.kill()
    abandoned = postmaster(data)

    with start(data) as server:
        remember(server, "kept")
        assert postmaster(data) == abandoned

    assert is_stopped(data)


def test_the_last_of_two_processes_stops_the_server(data: Path) -> None:
    with another_process(data) as process, start(data) as server:
        assert said(process) == "ready"
        assert dismiss(process) == 0

        assert not is_stopped(data)
        remember(server, "kept")

    assert is_stopped(data)


def test_the_first_process_may_come_last(data: Path) -> None:
    with start(data) as server, another_process(data) as process:
        assert said(process) == "ready"
        server.stop()

        assert not is_stopped(data)
        assert dismiss(process) == 0

    assert is_stopped(data)


def test_the_kill_of_one_process_leaves_the_server_to_the_other(data: Path) -> None:
    with another_process(data) as process, start(data) as server:
        assert said(process) == "ready"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

        remember(server, "kept")

    assert is_stopped(data)


@needs_root
def test_two_containers_on_one_volume_share_one_server(data: Path) -> None:
    inside = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*inside, "true"], check=False).returncode != 0:
        pytest.skip("no containers can be made here")

    with start(data), another_process(data, prefix=inside) as process:
        assert said(process) == "ready"
        assert dismiss(process) == 0
        assert not is_stopped(data)

    assert is_stopped(data)


def test_ctrl_c_in_the_terminal_that_started_it_does_not_stop_the_server(data: Path) -> None:
    with another_process(data) as process, start(data) as server:
        assert said(process) == "ready"
        press_ctrl_c(process)

        remember(server, "kept")

    assert is_stopped(data)


def test_coming_and_going_at_once_always_finds_a_server(data: Path) -> None:
    def come_and_go(_turn: int) -> object:
        with start(data) as server:
            return ask(server.server_dsn(), "SELECT 1")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(come_and_go, range(16))) == [1] * 16

    assert is_stopped(data)


def test_a_first_start_that_was_killed_half_way_is_begun_anew(place: Path) -> None:
    data = place / "data"
    half = "threading.Thread(target=kill, daemon=True).start()"
    kill = (
        "import threading\ndef kill():\n"
        "    while not Path(folder, 'postgres.partial', 'global').exists(): pass\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with another_process(data, before=kill + half) as process:
        assert said(process) == ""
    assert not (data / "postgres").exists()

    with start(data) as server:
        remember(server, "new")
        assert not (data / "postgres.partial").exists()


@needs_other_user
def test_a_pid_that_was_given_to_another_program_does_not_stop_the_start(place: Path) -> None:
    os.chown(place, NOBODY, NOBODY)
    with another_process(place / "data", uid=NOBODY) as process:
        assert said(process) == "ready"
        os.kill(pid := postmaster(place / "data"), signal.SIGKILL)
    left = (place / "data" / "postgres" / "postmaster.pid").read_text()
    assert "ready" in left

    reused = "pid = subprocess.Popen(['sleep', '600']).pid; file = folder / 'postgres' / 'postmaster.pid'\n"
    reused += f"file.write_text(file.read_text().replace('{pid}', str(pid), 1)); import atexit\n"
    reused += "atexit.register(os.kill, pid, signal.SIGTERM)"
    with another_process(place / "data", uid=NOBODY, before=reused) as process:
        assert said(process) == "ready"
        assert dismiss(process) == 0


def test_a_folder_copied_from_a_running_server_gets_its_own(data: Path, place: Path) -> None:
    with start(data) as first:
        ask(first.server_dsn(), "SELECT 1")
        copied = (data / "postgres" / "postmaster.pid").read_text()
        subprocess.run(["cp", "-a", data, place / "copy"], check=True)
        assert (place / "copy" / "postgres" / "postmaster.pid").read_text() == copied

        with start(place / "copy") as second:
            remember(second, "in the copy")
            assert postmaster(place / "copy") != postmaster(data)

        remember(first, "in the first")


def a_program(place: Path, script: str) -> Path:
    program = place / "postgres.sh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_a_slow_server_is_waited_for(data: Path, place: Path) -> None:
    engine = find_engine(open_folder(data))
    slow = a_program(place, f'sleep 2\nexec {engine.postgres} "$@"')

    with start(data, start_timeout_s=30, engine=replace(engine, postgres=slow)) as server:
        remember(server, "late")

    assert is_stopped(data)


def test_a_silent_server_is_given_up_with_its_last_words(data: Path, place: Path) -> None:
    engine = find_engine(open_folder(data))
    hung = a_program(place, "echo so tired\nsleep 600")

    with pytest.raises(ConfigurationError, match=r"(?s)silent for 0\.5 s.*so tired.*OM_PG_DSN"):
        start(data, start_timeout_s=0.5, engine=replace(engine, postgres=hung))

    start(data, start_timeout_s=10).stop()


def test_a_server_that_ends_is_not_waited_for(data: Path) -> None:
    with open(data / "postgres" / "postgresql.conf", "a") as file:
        file.write("no_such_setting = 1\n")

    with pytest.raises(ConfigurationError, match=r"(?s)ended with status 1.*no_such_setting"):
        start(data)


def test_patience_lasts_while_the_log_grows(tmp_path: Path) -> None:
    patience = Patience(0.05, tmp_path)
    log = tmp_path / "postgres-Mon.log"
    deadline = time.monotonic() + 0.5
    lines = 0

    while time.monotonic() < deadline:
        lines += 1
        log.write_text("still recovering\n" * lines)
        assert patience.wait()
    while patience.wait():
        pass

    assert time.monotonic() < deadline + 1
