"""The way to upgrade is true: its commands are run in order on a real old database, and print what it shows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.docs.pages import DOCS
from tests.docs.walking import walk
from tests.postgres.databases import Place
from tests.upgrade.old_databases import an_old_place

PAGE = DOCS / "how-to" / "upgrade.md"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the page's commands need bash")


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the recorded database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as place:
        yield place


def test_the_page_prints_what_it_shows(old: Place, tmp_path: Path) -> None:
    walk(PAGE, old, tmp_path)
