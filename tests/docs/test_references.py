"""The generated pages say what the code says, and leave nothing out."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from typer import Typer

from openmemory.cli.main import cli
from openmemory.postgres.statements import Names
from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.calling import Services
from openmemory.server.problems import STATUS
from openmemory.server.status_calls import About
from tests.docs.pages import DOCS, REFERENCE, headings

OPERATORS_TABLES = ("openmemory_meta", "openmemory_tenants")


def commands(app: Typer, name: str) -> Iterator[str]:
    """Yield the names of `app` and of the commands below it."""
    yield name
    yield from (f"{name} {one.name}" for one in app.registered_commands)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{name} {group.name}")


def routes() -> list[str]:
    """Return method and path of each call that the application describes."""
    about = About(version="0", provider="hash", model="hash-v1", dimension=256, tier="hybrid")
    paths = create_api(no_services, HeaderAuth(bound_to_loopback=True), about).openapi()["paths"]
    return [f"{method.upper()} {path}" for path, calls in paths.items() for method in calls]


@asynccontextmanager
async def no_services() -> AsyncIterator[Services]:
    """Stand in for the services, which only a running server opens."""
    raise NotImplementedError
    yield


@pytest.mark.parametrize("page", sorted(path.name for path in REFERENCE.glob("*.md")))
def test_a_reference_is_what_the_code_generates(page: str) -> None:
    check = [sys.executable, "-m", "cogapp", "--check", "-I", str(DOCS), str(REFERENCE / page)]

    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: cog -r -I docs docs/reference/*.md"


@pytest.mark.parametrize("code", sorted({error.code for error in STATUS}))
def test_every_problem_has_its_section(code: str) -> None:
    assert headings(REFERENCE / "problems.md").count(code) == 1


@pytest.mark.parametrize("name", list(commands(cli, "openmemory")))
def test_every_command_has_its_section(name: str) -> None:
    assert headings(REFERENCE / "commands.md").count(name) == 1


@pytest.mark.parametrize("call", routes())
def test_every_call_has_its_section(call: str) -> None:
    assert headings(REFERENCE / "http.md").count(call) == 1


@pytest.mark.parametrize("table", [*Names().tenant_tables, *OPERATORS_TABLES])
def test_every_table_has_its_section(table: str) -> None:
    assert headings(REFERENCE / "sql.md").count(table) == 1


def test_every_option_has_its_row() -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")

    for name in ("--json", "--tenant", "--yes`, `-y", "--min-score", "-k", "--version"):
        assert f"| `{name}` |" in page
