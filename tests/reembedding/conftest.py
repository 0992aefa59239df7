"""Databases to move to another model, each of the test that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.statements import Names
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.reembedding.moves import COUNTS, Filled, filled


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, so that no `.env` of the developer's is read."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    """Yield an empty database of this test."""
    with a_place(postgres, Names(dimension=64)) as made:
        yield made


@pytest.fixture
def small(place: Place, tmp_path: Path) -> Filled:
    """Return three tenants' memories with vectors of 64 dimensions."""
    return filled(place, tmp_path, COUNTS)
