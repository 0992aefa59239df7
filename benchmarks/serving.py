"""A real `openmemory serve` as a process of its own, on a data folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

HOST = "127.0.0.1"
_START_S, _STOP_S, _POLL_S = 180.0, 60.0, 0.005


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers: where, as which process on which data, and how long it took from the start to `/ready`."""

    port: int
    pid: int
    data_dir: Path
    ready_s: float


@contextmanager
def serving(data_dir: Path) -> Iterator[Served]:
    """Yield a server on `data_dir` with the default settings, but for its log, which is left to warnings.

    Raises RuntimeError if it does not come up; its own words are in `serve.log` beside the folder.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log_path = data_dir.parent / f"{data_dir.name}.serve.log"
    with log_path.open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [_command(), "serve", "--host", HOST, "--port", str(port)],
            env=_environment(data_dir),
            cwd=data_dir.parent,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(process, port, log_path)
            yield Served(port, process.pid, data_dir, time.perf_counter() - start)
        finally:
            _stop(process)


def _command() -> Path:
    """Return the program `openmemory` of the environment that runs this."""
    return Path(sys.executable).parent / "openmemory"


def _environment(data_dir: Path) -> dict[str, str]:
    """Return this process's environment without settings of OpenMemory's that would make the figures other ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OM_", "PG"))}
    return {**kept, "OM_DATA_DIR": str(data_dir), "OM_LOG_LEVEL": "warning"}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"openmemory serve ended with {process.returncode}; see {log_path}")
        if _is_ready(port):
            return
        time.sleep(_POLL_S)
    raise RuntimeError(f"openmemory serve was not ready after {_START_S:g} s; see {log_path}")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=_START_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
