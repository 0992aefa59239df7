"""What a server lacks or limits, as the guide's troubleshooting lists it, met for real; each message leads out."""

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import connected
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.refusals import check_versions
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.postgres import outside
from tests.upgrade.troubleshooting.machines import Old

FREE_MB = 48


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


def test_a_limit_of_temporary_files_is_named_with_what_lifts_it(ready: Old, shared: Path) -> None:
    # In a quarter of a MiB PostgreSQL keeps its own settings, and not the old rows.
    for name, value in {"temp_file_limit": "64kB", "work_mem": "256kB"}.items():
        ready.run(f"ALTER DATABASE {ready.database} SET {name} = '{value}'")
    with pytest.raises(ConfigurationError, match=r"^the look: .*temp_file_limit.*\. Nothing was changed$") as refused:
        look(ready.owner.logins.owner, ready.owner.names)
    stopped = ready.refused()

    assert re.search(r"^00\d_\w+: .*temp_file_limit.*goes on from there$", stopped)
    remedies = [
        said.partition("Ask an administrator to run: ")[2].partition(". ")[0] for said in (str(refused.value), stopped)
    ]
    assert len(set(remedies)) == 1
    ready.run(remedies[0])
    ready.upgrade()
    ready.assert_whole(shared)


def test_a_pgvector_older_than_the_oldest_is_refused_with_the_remedy(old: Old) -> None:
    # No older one can be installed here; what is looked at is the version that the catalogue has.
    old.run("CREATE EXTENSION vector", "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
    with (
        connected(old.owner.logins.owner) as connection,
        pytest.raises(ConfigurationError, match=r"pgvector is 0\.7\.4; 0\.8\.0 or newer.*ALTER EXTENSION"),
    ):
        check_versions(connection)
