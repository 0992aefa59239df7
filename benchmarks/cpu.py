"""How much processor time the server and its PostgreSQL have used. Linux only; elsewhere nothing is known.

On a busy machine rates say little; the processor time of an answer hardly changes.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_OWN, _WITH_CHILDREN = slice(11, 13), slice(11, 15)
_PARENT = 1


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of processor time since each process began."""

    server: float
    postgres: float

    def since(self, before: "Used") -> "Used":
        """Return what was used after `before`."""
        return Used(self.server - before.server, self.postgres - before.postgres)


def used(server_pid: int, data_dir: Path) -> Used:
    """Return what the server and the PostgreSQL of `data_dir` have used, its ended sessions included."""
    return Used(_seconds(server_pid, _OWN), postgres_seconds(data_dir))


def postgres_seconds(data_dir: Path) -> float:
    """Return what the PostgreSQL of `data_dir` has used."""
    try:
        postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    except (OSError, IndexError):
        return float("nan")
    sessions = [int(entry.name) for entry in _PROC.glob("[0-9]*") if _parent(int(entry.name)) == postmaster]
    return _seconds(postmaster, _WITH_CHILDREN) + sum(_seconds_finely(pid) for pid in sessions)


def _parent(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[_PARENT]) if fields else None


def _seconds_finely(pid: int) -> float:
    """Return what a process of one thread has used, in the scheduler's nanoseconds where the kernel counts them."""
    try:
        return int((_PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return _seconds(pid, _OWN)


def _seconds(pid: int, which: slice) -> float:
    fields = _fields(pid)
    return sum(int(field) for field in fields[which]) / os.sysconf("SC_CLK_TCK") if fields else float("nan")


def _fields(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` after the name, which may hold spaces; empty if there is no process."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
