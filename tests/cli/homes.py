"""A data folder with the command run on it, in this process or in another."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from openmemory.cli.main import cli
from tests.places import PLACES
from tests.postgres.databases import Place

COMMAND = (sys.executable, "-c", "from openmemory.cli import run; run()")
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever the command answers
        """Return standard output as the one JSON document it must be."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A data folder, and what the environment says beside it."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a command: ours without its settings, and with these."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OM_")}
        return {**ours, "COLUMNS": "80", "OM_DATA_DIR": str(self.folder), **self.settings}

    def with_settings(self, **settings: str) -> "Home":
        """Return this folder with further variables in the environment."""
        return Home(self.folder, {**self.settings, **settings})

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Ran:
        """Run a command in this process."""
        given = self.environment
        env = {**{name: None for name in os.environ if name.startswith("OM_") and name not in given}, **given}
        result = CliRunner().invoke(cli, list(arguments), input=stdin, env=env)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def spawn(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command as a process of its own, to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def serving(self, port: int, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Yield a server that answers; it is killed at the end if it still runs."""
        with subprocess.Popen(
            [*COMMAND, "serve", "--port", str(port), *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                wait_until_ready(port, process)
                yield process
            finally:
                process.kill()

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Yield a command that runs, with pipes to it; it is killed at the end if it still runs."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*COMMAND, *arguments], env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def postmaster(self) -> int:
        """Return the process of PostgreSQL on the folder, 0 while there is none."""
        with suppress(OSError, ValueError, IndexError):
            return int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        return 0

    @property
    def is_stopped(self) -> bool:
        """Return whether no PostgreSQL runs on the folder."""
        return not (self.folder / "postgres" / "postmaster.pid").exists()


@contextmanager
def a_home() -> Iterator[Home]:
    """Yield an empty data folder on a short path that PostgreSQL's user may enter."""
    parent = Path(tempfile.mkdtemp(prefix="omc-", dir=PLACES))
    parent.chmod(0o755)
    try:
        yield Home(parent / "data")
    finally:
        shutil.rmtree(parent)


def interrupt(process: "subprocess.Popen[bytes]", kind: signal.Signals) -> None:
    """Send a signal until the command ends: one that comes right before it waits for input is not looked at."""
    deadline_s = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < deadline_s
        process.send_signal(kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S / 6)


def a_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_until_ready(port: int, process: "subprocess.Popen[str]") -> None:
    """Return when /ready answers; early askers wait in the queue of the port, so few tries are needed."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, HTTPException):
            assert answered(port, "GET", "/ready") == {"ok": True}
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def call(port: int, path: str, body: dict[str, object], tenant: str) -> Any:  # noqa: ANN401
    """Return the answer to a call of the API."""
    headers = {"content-type": "application/json", "x-tenant-id": tenant}
    return answered(port, "POST", path, json.dumps(body), headers)


def answered(
    port: int, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
) -> Any:  # noqa: ANN401
    """Return what a good answer says."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        said = json.load(answer)
    assert answer.status == 200, said
    return said


def at(place: Place, home: Home) -> Home:
    """Return the settings of a test's database."""
    return home.with_settings(
        OM_PG_DSN=make_conninfo("", **place.logins.owner),
        OM_PG_APP_ROLE=place.names.app_role,
        OM_EMBEDDINGS="hash",
        OM_VEC_DIM=str(place.names.dimension),
    )
