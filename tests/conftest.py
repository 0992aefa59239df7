"""One PostgreSQL for the run, one database a worker, a fresh tenant a test."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from openmemory import app as application
from openmemory.adapters.embedders import Embedder, HashEmbedder
from openmemory.app import Logins, Readied
from openmemory.postgres import embedded
from openmemory.postgres.database import Database
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from openmemory.server.calling import Services
from openmemory.settings import Settings, load
from tests.places import PLACES

# For a night: pytest --hypothesis-profile many -o faulthandler_timeout=0, and of one file at a time.
hypothesis_settings.register_profile("many", max_examples=1_000)

TEST_ROLE = "openmemory_app"
# A run in the background of a script ignores Ctrl-C, and so would the programs that tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_OUTSIDE_LOGIN = "openmemory_test_login"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL to test on: the owner's login, and the name of the login that serves without owning."""

    owner: dict[str, str]
    login: dict[str, str]
    login_user: str


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests and fixtures on asyncio, one loop for the session's fixtures."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of recorded data that users don't have: skip without it, fail in CI."""
    folder = Path(os.environ.get("OPENMEMORY_SHARED", "../shared")).resolve()
    if not folder.is_dir():
        reason = f"the shared folder {folder} is not there (OPENMEMORY_SHARED)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def postgres(run_folder: Path, testrun_uid: str) -> Iterator[Server]:
    """Yield the server that OM_TEST_DSN names, or the embedded one, which the workers of a run share."""
    if dsn := os.environ.get("OM_TEST_DSN"):
        yield _outside(dsn, testrun_uid)
        return
    with embedded.start(run_folder / "postgres") as server:
        yield Server({"conninfo": server.owner_dsn()}, {"conninfo": server.server_dsn()}, embedded.SERVER)
    # The last worker that leaves has stopped it; what it leaves behind would fill the machine's memory run by run.
    if not (run_folder / "postgres" / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(run_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def run_folder(testrun_uid: str) -> Path:
    """Return a folder that the workers of this run share; short, for a socket lies in it."""
    folder = PLACES / f"om-{testrun_uid[:8]}"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def names() -> Names:
    """Return the default names, with small vectors."""
    return Names(dimension=256)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """Return the embedder of the tests: deterministic, and fast."""
    return HashEmbedder(256)


@pytest.fixture(scope="session")
def logins(postgres: Server, worker_id: str, names: Names, embedder: Embedder) -> Logins:
    """Return the way to a database of this worker, migrated once."""
    logins = a_database(postgres, f"om_{worker_id}")
    application.bring_up_to_date(logins, names, embedder)
    return logins


@pytest.fixture(scope="session")
def ready(logins: Logins, names: Names) -> Readied:
    """Return the worker's database as `app` hands it on."""
    return Readied(logins, names)


@pytest.fixture(scope="session")
async def database(logins: Logins, names: Names) -> AsyncIterator[Database]:
    """Yield a pool on the worker's database."""
    async with Database(logins.server, names, behind_pooler=logins.behind_pooler) as opened:
        yield opened


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Return the default settings, whatever the environment says."""
    return load(environ={})


@pytest.fixture(scope="session")
async def services(settings: Settings, ready: Readied, embedder: Embedder) -> AsyncIterator[Services]:
    """Yield the services on the worker's database."""
    async with application.open_services(settings, ready, embedder) as opened:
        yield opened


@pytest.fixture(scope="session")
async def api(settings: Settings, ready: Readied, embedder: Embedder) -> AsyncIterator[FastAPI]:
    """Yield the HTTP application, started."""
    built = application.create_app(settings, ready, embedder)
    async with built.router.lifespan_context(built):
        yield built


@pytest.fixture
async def http(api: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client on this machine, as no tenant yet: tests name theirs in x-tenant-id."""
    transport = httpx2.ASGITransport(app=api, client=("127.0.0.1", 50000), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


def a_database(server: Server, name: str, template: str = "template1") -> Logins:
    """Return the way to a database of that name, made anew: an empty one, or a copy of `template`."""
    of = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with connected(server.owner) as connection:
        for command in ("DROP DATABASE IF EXISTS {name} WITH (FORCE)", "CREATE DATABASE {name} TEMPLATE {template}"):
            connection.execute(sql.SQL(command).format(**of))
    owner, login = (_on(parts["conninfo"], name) for parts in (server.owner, server.login))
    return Logins(owner, login, server.login_user, behind_pooler=False)


def _outside(dsn: str, password: str) -> Server:
    role = sql.Identifier(_OUTSIDE_LOGIN)
    with connected({"conninfo": dsn}) as connection, connection.transaction():
        # The workers of a run come here at once.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_OUTSIDE_LOGIN])
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [_OUTSIDE_LOGIN]).rowcount:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN NOINHERIT PASSWORD {}").format(role, sql.Literal(password)))
    login = make_conninfo(dsn, user=_OUTSIDE_LOGIN, password=password)
    return Server({"conninfo": dsn}, {"conninfo": login}, _OUTSIDE_LOGIN)


def _on(dsn: str, database: str) -> dict[str, str]:
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    return {**parts, "dbname": database}
