"""The way to upgrade is true: its commands are run in order on a real old database, and print what it shows."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Server
from tests.docs.pages import DOCS, blocks, is_like
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, an_old_place, dsn, program

PAGE = DOCS / "how-to" / "upgrade.md"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the page's commands need bash")


@pytest.fixture
def old(postgres: Server, shared: Path) -> Iterator[Place]:
    """Yield the recorded database of upstream's last version before pgvector."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as place:
        yield place


def environment(place: Place) -> dict[str, str]:
    """Return what a shell of the owner has: the settings, psql's variables, and the programs on the PATH."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OM_", "PG"))}
    parts = conninfo_to_dict(dsn(place))
    named = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    folders = [str(Path(sys.executable).parent), str(Path(program("psql")).parent), own["PATH"]]
    return {
        **own,
        **{named[name]: str(value) for name, value in parts.items() if name in named and value is not None},
        "PATH": os.pathsep.join(folders),
        "OM_PG_DSN": dsn(place),
        "OM_PG_APP_ROLE": place.names.app_role,
    }


def test_the_page_prints_what_it_shows(old: Place, tmp_path: Path) -> None:
    page, exported = blocks(PAGE), ""
    for place, block in enumerate(page):
        if block.language != "bash":
            continue
        done = subprocess.run(
            ["bash", "-eu", "-c", exported + block.text],
            env=environment(old),
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
