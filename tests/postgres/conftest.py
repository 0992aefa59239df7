"""An empty database a test, or an old one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.homes import Home
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.postgres.outside import Outside, an_outside_server
from tests.upgrade.old_databases import an_old_place


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    """Yield an empty database of this test."""
    with a_place(postgres) as made:
        yield made


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as place:
        yield place


@pytest.fixture(scope="module")
def server() -> Iterator[Outside]:
    """Yield a server that the user runs, with the names of no database yet."""
    with an_outside_server() as started:
        yield started


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the environment of a user without settings."""
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path / "unused")
