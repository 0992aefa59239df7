"""Locks that die with their holder, files only their owner may read, and how long to wait."""

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from openmemory.postgres.embedded.account import Account

if sys.platform != "win32":
    import fcntl

PAUSE_S = 0.02


class FileLock:
    """A lock on a file (`flock`), made if it is missing; shared by every process that inherits `fileno`."""

    def __init__(self, path: Path, account: Account) -> None:
        self.fileno = _open(path, account)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Return whether it was let go of."""
        return self.fileno < 0

    def try_exclusive(self) -> bool:
        """Return whether nobody else holds it; then it is ours alone."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Return whether nobody else holds it alone; then we are one of its holders."""
        return self._try(fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of it."""
        if not self.is_closed:
            os.close(self.fileno)
            self.fileno = -1

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fileno, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Patience:
    """Time that runs out only while nothing happens: whatever the server logs meanwhile renews it."""

    def __init__(self, seconds: float, log: Path) -> None:
        self.seconds = seconds
        self._log: Path | None = log
        self._seen = self._log_size()
        self._deadline = time.monotonic() + seconds

    def wait(self) -> bool:
        """Sleep for a moment; return False if time has run out instead."""
        if time.monotonic() >= self._deadline:
            size = self._log_size()
            if size == self._seen:
                return False
            self._seen = size
            self._deadline = time.monotonic() + self.seconds
        time.sleep(PAUSE_S)
        return True

    def last(self, seconds: float) -> None:
        """Let it run out after `seconds` more at most, whatever happens; a second call changes nothing."""
        if self._log is not None:
            self._log = None
            self._seen = 0
            self._deadline = min(self._deadline, time.monotonic() + seconds)

    def _log_size(self) -> int:
        return sum(file.stat().st_size for file in self._log.glob("*.log")) if self._log else 0


def write_private(path: Path, text: str, account: Account) -> None:
    """Write a file of mode 0600 and of `account`, whole or not at all, and safe from a power cut."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with open(_open(partial, account), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def empty_file(path: Path, account: Account) -> int:
    """Return the descriptor of a file of mode 0600 and of `account`, emptied."""
    file = _open(path, account)
    os.truncate(file, 0)
    return file


def _open(path: Path, account: Account) -> int:
    """Open for reading and writing, never through a link: as root we work in another user's folder."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    account.own(file)
    return file
