"""The reference of the settings says what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

from openmemory.settings.catalogue import catalogue

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference" / "settings.md"


def test_the_reference_is_what_the_code_generates() -> None:
    check = [sys.executable, "-m", "cogapp", "--check", "-I", str(DOCS), str(REFERENCE)]

    done = subprocess.run(check, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: cog -r -I docs docs/reference/settings.md"


@pytest.mark.parametrize("name", catalogue())
def test_every_setting_has_its_line(name: str) -> None:
    lines = [line for line in REFERENCE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")]

    assert len(lines) == 1
