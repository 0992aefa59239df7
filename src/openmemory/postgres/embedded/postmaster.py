"""PostgreSQL's first process: launching it, waiting until it lets us in, shutting it down."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded import cluster
from openmemory.postgres.embedded.configuration import FORCED
from openmemory.postgres.embedded.engine import Engine, find_engine
from openmemory.postgres.embedded.folder import PORT, DataFolder, make_private, socket_folder
from openmemory.postgres.embedded.interruptions import held_back
from openmemory.postgres.embedded.locks import PAUSE_S, FileLock, Patience, empty_file

_ADMITTANCE_S = 30.0
_SHUTDOWN_S = 60.0
_IMMEDIATE_S = 10.0
_VANISHING_S = 5.0


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What PostgreSQL writes about itself in `postmaster.pid`; it stays there when it is killed."""

    pid: int
    is_ready: bool


def bring_up(folder: DataFolder, patience: Patience, on_event: Callable[[str], None], engine: Engine | None) -> Path:
    """Return the socket's folder of a server that lets us in: the one that runs, else a new one.

    The caller holds the folder's lock for starting.
    """
    make_private(folder.log, folder.account)
    socket_dir = socket_folder(folder)
    launched: list[subprocess.Popen[bytes]] = []
    refusal = ""
    try:
        while True:
            if _launch_if_none_lives(folder, socket_dir, on_event, engine, launched):
                patience = Patience(patience.seconds, folder.log)
            found = _read(folder)
            if found and found.is_ready and (not launched or found.pid == launched[0].pid):
                try:
                    cluster.ensure_database(socket_dir, cluster.read_passwords(folder))
                except psycopg.Error as error:
                    refusal = f" It refuses us: {str(error).strip()}."
                    patience.last(_ADMITTANCE_S)
                else:
                    return socket_dir
            if not patience.wait():
                raise _failure(folder, f"is not ready and has been silent for {patience.seconds:g} s.{refusal}")
    except BaseException:
        if launched:
            _abandon(launched[0])
        raise


def shut_down(folder: DataFolder) -> bool:
    """Stop the server and wait until the last of its processes is gone; return whether it is.

    Connections are cut and transactions rolled back. A server that takes a minute to write its memory to disk is
    stopped at once instead; the next start then recovers, as after a power cut. The caller holds the lock for starting.
    """
    with FileLock(folder.alive, folder.account) as alive:
        for kind, seconds in ((signal.SIGINT, _SHUTDOWN_S), (signal.SIGQUIT, _IMMEDIATE_S)):
            found = _read(folder)
            if found and _works_in(found.pid, folder.cluster):
                with suppress(ProcessLookupError):
                    os.kill(found.pid, kind)
            else:  # it is going, or it runs in another container, whose processes we cannot stop
                seconds = _VANISHING_S
            deadline = time.monotonic() + seconds
            while not (is_gone := alive.try_exclusive()) and time.monotonic() < deadline:
                time.sleep(PAUSE_S)
            if is_gone:
                return True
    return False


def _launch_if_none_lives(
    folder: DataFolder,
    socket_dir: Path,
    on_event: Callable[[str], None],
    engine: Engine | None,
    launched: list["subprocess.Popen[bytes]"],
) -> bool:
    """Return whether one was launched, and is in `launched` now; raises ConfigurationError if an earlier one ended."""
    with FileLock(folder.alive, folder.account) as alive:
        if not alive.try_exclusive():
            return False
        if launched:
            raise _failure(folder, f"ended with status {launched[0].wait()}.")
        engine = engine or find_engine(folder)
        if not cluster.exists(folder):
            on_event(f"making a new database in {folder.path}")
            cluster.create(folder, engine, alive.fileno)
        cluster.configure(folder, socket_dir)
        _discard_stale_pids(folder, socket_dir)
        on_event("starting PostgreSQL")
        with held_back():
            launched.append(_launch(folder, engine, alive.fileno))
        return True


def _launch(folder: DataFolder, engine: Engine, keep_open: int) -> "subprocess.Popen[bytes]":
    command = [str(engine.postgres), "-D", str(folder.cluster)]
    command += [word for name, value in FORCED.items() for word in ("-c", f"{name}={value}")]
    log = empty_file(folder.log / "start.log", folder.account)
    try:
        process = folder.account.popen(command, stdout=log, keep_open=(keep_open,))
    finally:
        os.close(log)
    # It may outlive us, or die while we live: somebody must take note of its end, or it stays as a zombie.
    threading.Thread(target=process.wait, name="openmemory-postgres", daemon=True).start()
    return process


def _abandon(process: "subprocess.Popen[bytes]") -> None:
    """End a server that was launched in vain, safely for the data."""
    for kind in (signal.SIGQUIT, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(_IMMEDIATE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _read(folder: DataFolder) -> Postmaster | None:
    try:
        lines = (folder.cluster / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), is_ready=lines[7].strip() == "ready")
    except (FileNotFoundError, IndexError, ValueError):  # none, or being written
        return None


def _works_in(pid: int, cluster_dir: Path) -> bool:
    """Return whether process `pid` is a server of this cluster, and not a program that was given its number since."""
    command = _command(pid)
    return command is None or str(cluster_dir) in command


def _discard_stale_pids(folder: DataFolder, socket_dir: Path) -> None:
    """Remove PostgreSQL's two pid files if their process is no server of this cluster.

    The caller has seen that none of ours lives. PostgreSQL removes them where the process is gone, but refuses to start
    where another program of its user, or a zombie, has the number now, as happens when a container is started again,
    or where it is the server of the folder that this one was copied from.
    """
    for file in (folder.cluster / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
        if file.exists():
            first_line = file.read_text().partition("\n")[0]
            if not first_line.isdecimal() or _is_none_of(folder.cluster, int(first_line)):  # empty: killed in writing
                file.unlink()


def _is_none_of(cluster_dir: Path, pid: int) -> bool:
    """Return whether process `pid` certainly is no server of this cluster: each works in its cluster's folder."""
    command = _command(pid)
    if command is None:
        return False
    if not command or not Path(command[0]).name.startswith("postgres"):
        return True
    try:
        return not Path(f"/proc/{pid}/cwd").samefile(cluster_dir)
    except OSError:  # another user's, or gone meanwhile: PostgreSQL will see
        return False


def _command(pid: int) -> list[str] | None:
    """Return the command line of a process, [] if it is gone or a zombie, None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _failure(folder: DataFolder, what: str) -> ConfigurationError:
    files = sorted(folder.log.glob("*.log"), key=lambda file: file.stat().st_mtime_ns)[-2:]
    lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    log = "\n".join(lines[-12:]) or "(nothing)"
    return ConfigurationError(
        f"PostgreSQL in {folder.path} {what} Its log ({folder.log}) ends with:\n{log}\n"
        "Free some space if the disk is full, set OM_DATA_DIR to another folder, or OM_PG_DSN to your own PostgreSQL."
    )
