"""The tutorial is true: its commands are run in order, and they print what it shows."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.homes import PATIENCE_S, Home, a_home, a_port, wait_until_ready
from tests.docs.pages import DOCS, Block, blocks, is_like

TUTORIAL = DOCS / "tutorial" / "first-memory.md"
BASH = ("bash", "-eu", "-c")

pytestmark = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("curl")), reason="the tutorial's commands need bash and curl"
)


@pytest.fixture
def home() -> Iterator[Home]:
    """Yield an empty data folder, with `openmemory` on the PATH and a free port."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with a_home() as empty:
        yield empty.with_settings(OM_PORT=str(a_port()), PATH=programs)


def test_the_tutorial_prints_what_it_shows(home: Home, tmp_path: Path) -> None:
    page = blocks(TUTORIAL)
    server, *commands = (place for place, block in enumerate(page) if block.language == "bash")

    with serving(page[server], home, tmp_path):
        for place in commands:
            printed = run(page[place], home, tmp_path)

            if place + 1 < len(page) and page[place + 1].language in {"text", "json"}:
                shown = page[place + 1].text
                assert is_like(shown, printed), f"{page[place].text}\nprinted:\n{printed}\nand not:\n{shown}"


def test_every_answer_in_the_tutorial_follows_a_command() -> None:
    pairs = list(pairwise(blocks(TUTORIAL)))

    assert pairs
    assert all(before.language == "bash" for before, block in pairs if block.language in {"text", "json"})


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("a … c", "a b c\n", True),
        ("a\n…\nc", "a\nc\n", True),
        ("a\n…\nc", "a\nb\nb\nc", True),
        ("a … c", "a\nc", False),
        ("a", "a\nb", False),
        ("(a.c)", "(abc)", False),
    ],
)
def test_an_ellipsis_stands_for_what_differs(shown: str, printed: str, alike: bool) -> None:
    assert is_like(shown, printed) is alike


@contextmanager
def serving(block: Block, home: Home, folder: Path) -> Iterator[None]:
    """Run the block that starts the server until the caller is done, and stop it as a signal does."""
    assert block.info == "server"
    with subprocess.Popen(
        [*BASH, block.text],
        env=home.environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_until_ready(int(home.settings["OM_PORT"]), process)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)


def run(block: Block, home: Home, folder: Path) -> str:
    """Return what the commands of a block print."""
    done = subprocess.run(
        [*BASH, block.text],
        env=home.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
    return done.stdout
