"""The way to another model is true: its commands are run in order on an upgraded database, and print what it shows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.docs.pages import DOCS
from tests.docs.walking import walk
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place

PAGE = DOCS / "how-to" / "reembed.md"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the page's commands need bash")


@pytest.fixture
def lifted(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield an upgraded database whose model is not known."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as place:
        upgrade(place.logins.owner, place.names, Plan(1536))
        yield place


def test_the_page_prints_what_it_shows(lifted: Place, tmp_path: Path) -> None:
    walk(PAGE, lifted, tmp_path)
