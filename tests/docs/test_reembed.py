"""The way to another model is true: its commands are run in order on an upgraded database, and print what it shows."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.conftest import Server
from tests.docs.pages import DOCS, blocks, is_like
from tests.docs.test_upgrade import environment
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, an_old_place

PAGE = DOCS / "how-to" / "reembed.md"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the page's commands need bash")


@pytest.fixture
def lifted(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield an upgraded database whose model is not known."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as place:
        upgrade(place.logins.owner, place.names, Plan(1536))
        yield place


def test_the_page_prints_what_it_shows(lifted: Place, tmp_path: Path) -> None:
    page, exported = blocks(PAGE), ""
    for place, block in enumerate(page):
        if block.language != "bash":
            continue
        done = subprocess.run(
            ["bash", "-eu", "-c", exported + block.text],
            env=environment(lifted),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        exported += "".join(f"{line}\n" for line in block.text.splitlines() if line.startswith("export "))
        if place + 1 < len(page) and page[place + 1].language == "text":
            shown = page[place + 1].text
            assert is_like(shown, done.stdout), f"{block.text}\nprinted:\n{done.stdout}\nand not:\n{shown}"
