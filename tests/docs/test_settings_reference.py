"""Every setting is in its reference."""

import pytest

from openmemory.settings.catalogue import catalogue
from tests.docs.pages import REFERENCE

PAGE = REFERENCE / "settings.md"


@pytest.mark.parametrize("name", catalogue())
def test_every_setting_has_its_line(name: str) -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")]

    assert len(lines) == 1
