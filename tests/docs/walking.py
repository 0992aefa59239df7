"""A page's commands, run in order by a shell of the owner of a database."""

import os
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.docs.pages import blocks, is_like
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, dsn, program


def walk(page: Path, owner: Place, folder: Path) -> None:
    """Run the page's blocks of bash, and compare what they print with the text below; exports last."""
    blocks_of_it, exported = blocks(page), ""
    for place, block in enumerate(blocks_of_it):
        if block.language != "bash":
            continue
        done = subprocess.run(
            ["bash", "-eu", "-c", exported + block.text],
            env=environment(owner),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
        exported += "".join(f"{line}\n" for line in block.text.splitlines() if line.startswith("export "))
        if place + 1 < len(blocks_of_it) and blocks_of_it[place + 1].language == "text":
            shown = blocks_of_it[place + 1].text
            assert is_like(shown, done.stdout), f"{block.text}\nprinted:\n{done.stdout}\nand not:\n{shown}"


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
