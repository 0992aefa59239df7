"""Data folders for the tests of the embedded server."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.embedded import start
from tests.places import PLACES


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that other users may enter, on a short path; pytest's own is closed to them and long."""
    yield from a_place()


def a_place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="om-", dir=PLACES))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """Yield a data folder with a database, made once."""
    for folder in a_place():
        start(folder / "data").stop()
        yield folder / "data"


@pytest.fixture
def data(template: Path, place: Path) -> Path:
    """Return a data folder with a database and no server."""
    subprocess.run(["cp", "-a", template, place / "data"], check=True)
    return place / "data"
