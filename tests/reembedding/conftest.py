"""Databases to move to another model, each of the test that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.postgres.databases import Place, a_place
from tests.reembedding.moves import COUNTS, Filled, filled
from tests.upgrade.old_databases import an_old_place


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


@pytest.fixture
def mixed(postgres: Server, shared: Path, tmp_path: Path) -> Iterator[Filled]:
    """Yield the one with vectors of four dimensions, lifted, with most of them set aside."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector-mixed-dims", 256) as old:
        upgrade(old.logins.owner, old.names, Plan(256, embedding_model="hash-v1"))
        yield Filled(old, tmp_path)
