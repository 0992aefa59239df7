"""What PostgreSQL is told at each start, fitted to the machine."""

import os
import sys
from pathlib import Path

from openmemory.postgres.embedded.folder import PORT

_MIB = 1024 * 1024
_GIB = 1024 * _MIB

# Given on the command line, so that no file and no ALTER SYSTEM undoes them.
FORCED = {"fsync": "on", "full_page_writes": "on", "listen_addresses": ""}


def configuration(socket_dir: Path, log_dir: Path) -> str:
    """Return the text of a configuration file."""
    settings = _FIXED | _of_this_machine()
    settings["unix_socket_directories"] = '"' + str(socket_dir).replace('"', '""') + '"'
    settings["log_directory"] = str(log_dir)
    lines = (f"{name} = {_quoted(value)}\n" for name, value in settings.items())
    return "# Written by OpenMemory at each start; edit postgresql.conf instead.\n" + "".join(lines)


def _of_this_machine() -> dict[str, str]:
    memory = _memory_bytes()
    settings = {
        "shared_buffers": _megabytes(min(max(memory // 4, 32 * _MIB), _GIB)),
        "effective_cache_size": _megabytes(max(memory // 2, 64 * _MIB)),
        "maintenance_work_mem": _megabytes(min(max(memory // 16, 32 * _MIB), 512 * _MIB)),
    }
    if sys.platform == "linux":
        settings["recovery_init_sync_method"] = "syncfs"
        # Docker gives 64 MiB of /dev/shm, where a parallel index build fails with "No space left on device".
        settings["dynamic_shared_memory_type"] = "posix" if _shared_memory_bytes() >= _GIB else "mmap"
    return settings


def _memory_bytes() -> int:
    """Return the memory that this machine has, or that its container may use."""
    amounts = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            amounts.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(amounts)


def _shared_memory_bytes() -> int:
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108 (asked for its size only)
    except OSError:
        return 0
    return room.f_frsize * room.f_blocks


def _megabytes(amount: int) -> str:
    return f"{amount // _MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


_FIXED = {
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "cluster_name": "openmemory",
    # Durable, and bounded in what a crash must replay.
    "wal_compression": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Short queries on a solid state disk.
    "jit": "off",
    "random_page_cost": "1.1",
    # Index-only scans need a fresh visibility map.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_limit": "1000",
    # A week of files, each emptied when its day comes round, and no content in any: no statements, no parameters, and
    # (terse) none of the DETAIL that quotes rows.
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_file_mode": "0600",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_startup_progress_interval": "5s",
    # The same everywhere.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, MDY",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
}
