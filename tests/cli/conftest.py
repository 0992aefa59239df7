"""One data folder a worker, its PostgreSQL kept running; each test has a tenant of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres import embedded
from tests.cli.homes import Home, a_home
from tests.factories import a_tenant


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
