"""Data folders and second processes for the tests of the embedded server."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from openmemory.postgres.embedded import EmbeddedServer, start

NOBODY = 65534
NAMELESS = 71234

# In memory where there is room: a database is a thousand files, and each test has its own.
_SHM = Path("/dev/shm")  # noqa: S108 (new folders in it, by mkdtemp)
_ROOMY = _SHM.exists() and shutil.disk_usage(_SHM).free > 2**32 and not os.statvfs(_SHM).f_flag & os.ST_NOEXEC
PLACES = _SHM if _ROOMY else Path("/tmp")  # noqa: S108 (the same)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

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


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may enter, on a short path; pytest's own is closed to them and long."""
    yield from a_place()


def a_place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="om-", dir=PLACES))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A data folder with a database, made once."""
    for folder in a_place():
        start(folder / "data").stop()
        yield folder / "data"


@pytest.fixture
def data(template: Path, place: Path) -> Path:
    """A data folder with a database and no server."""
    return a_copy(template, place / "data")


def a_copy(template: Path, data: Path, uid: int | None = None) -> Path:
    subprocess.run(["cp", "-a", template, data], check=True)
    if uid:
        subprocess.run(["chown", "-R", f"{uid}:{uid}", data], check=True)
    return data


@contextmanager
def another_process(folder: Path, uid: int = 0, before: str = "", path: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A second process that uses the server of `folder` until it is told to stop."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(uid), before],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
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
    process.communicate("stop\n")
    return process.returncode


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
