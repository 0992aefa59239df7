"""An empty database a test."""

from collections.abc import Iterator

import pytest

from tests.conftest import Server
from tests.postgres.databases import Place, a_place


@pytest.fixture
def place(postgres: Server) -> Iterator[Place]:
    """Yield an empty database of this test."""
    with a_place(postgres) as made:
        yield made
