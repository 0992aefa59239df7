"""What every test of the settings needs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.settings import load

Wrong = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder an empty one, so that no `.env` of the developer's is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wrong() -> Wrong:
    """Return a function from an environment to what the operator is told about it."""

    def told(**environ: str) -> str:
        with pytest.raises(ConfigurationError) as raised:
            load(environ=environ)
        return str(raised.value)

    return told
