"""A server of the tests' own with an installation of its own, and old databases on it whose owner is no superuser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from openmemory.app import Logins
from openmemory.errors import ConfigurationError
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.postgres import outside
from tests.postgres.databases import Place, a_name
from tests.upgrade.old_databases import restore, verify

RECORDED = "legacy-pre-pgvector"
PASSWORD = "owners-secret"  # noqa: S105 -- of a server that lives as long as the tests


@dataclass(frozen=True)
class Machine:
    """A server with an installation of its own, so that its extension can be taken away."""

    server: outside.Outside
    control: Path

    def place(self, user: str, database: str, app_role: str) -> Place:
        """Return a database as `user` reaches it."""
        way = make_conninfo(host=str(self.server.folder), dbname=database, user=user, password=PASSWORD)
        owner = {"conninfo": way}
        return Place(Logins(owner, owner, None), Names(dimension=1536, app_role=app_role))


@dataclass(frozen=True)
class Old:
    """An old database: as its owner, who is no superuser, and as the administrator."""

    machine: Machine
    owner: Place
    admin: Place
    database: str

    def run(self, *statements: str) -> None:
        """Run SQL in it as the administrator."""
        self.machine.server.run(*statements, database=self.database)

    def upgrade(self, batch_size: int = 10_000) -> None:
        """Upgrade it as its owner."""
        upgrade(self.owner.logins.owner, self.owner.names, Plan(1536, batch_size=batch_size))

    def refused(self) -> str:
        """Return with which words the upgrade is refused; never with a password, never with SUPERUSER as the remedy."""
        with pytest.raises(ConfigurationError) as error:
            self.upgrade()
        said = str(error.value)
        assert PASSWORD not in said
        assert "SUPERUSER" not in said.replace("Not SUPERUSER, which would switch", "")
        return said

    def assert_whole(self, shared: Path) -> None:
        """Compare each vector with the recorded one."""
        assert state(self.admin.logins.owner, self.admin.names)["step"] == "done"
        said = verify(self.admin, shared, RECORDED)
        assert (said["identical"], said["missing"], said["extra"], said["fell"]) == (715, [], [], {})


@contextmanager
def an_old_one(machine: Machine, shared: Path) -> Iterator[Old]:
    """Yield an old database whose owner has the old tables and nothing more."""
    database, login, role = a_name("db"), a_name("owner"), a_name("app")
    machine.server.run(
        f"CREATE ROLE {login} LOGIN NOSUPERUSER PASSWORD '{PASSWORD}'",
        f"CREATE DATABASE {database}",
    )
    old = Old(machine, machine.place(login, database, role), machine.place("postgres", database, role), database)
    old.run(f"GRANT CREATE ON SCHEMA public TO {login}")
    restore(old.owner, shared, RECORDED)
    old.run(f"REVOKE CREATE ON SCHEMA public FROM {login}")
    yield old
    machine.server.run(f"DROP DATABASE {database} WITH (FORCE)")
