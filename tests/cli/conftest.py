"""One data folder a worker, its PostgreSQL kept running; each test has a tenant of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres import embedded
from tests.cli.homes import Home, a_home
from tests.cli.old_owners import NAME
from tests.conftest import Server
from tests.factories import a_tenant
from tests.postgres.databases import Place, a_place
from tests.upgrade.old_databases import an_old_place, dsn


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that no `.env` of the developer's is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """Yield a data folder whose PostgreSQL runs for all the tests of this worker."""
    with a_home() as home, embedded.start(home.folder):
        yield home


@pytest.fixture
def home(shared_home: Home) -> Home:
    """Return the folder with a fresh tenant as the one to work in."""
    return shared_home.with_settings(OM_TENANT=a_tenant())


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the recorded database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, NAME, 1536) as place:
        yield place


@pytest.fixture
def owner(old: Place, shared_home: Home) -> Home:
    """Return the settings of its owner."""
    return shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    """Yield an empty database of this test."""
    with a_place(postgres) as made:
        yield made
