"""The operating system's user that PostgreSQL runs as, since it refuses to run as root."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded.interruptions import held_back

if sys.platform != "win32":
    import pwd

# PostgreSQL heeds PG… variables, and what else stands in our environment (keys) is not for it.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group by number; they need no name once the cluster exists (a container may lose /etc/passwd)."""

    uid: int
    gid: int

    @property
    def is_another(self) -> bool:
        """Return whether we are root and run PostgreSQL as somebody else."""
        return self.uid != os.geteuid()

    @property
    def name(self) -> str:
        """Return the user's name, or its number if it has none."""
        return name_of(self.uid)

    def own(self, place: Path | int) -> None:
        """Give a file or folder that we have just made to this user."""
        if self.is_another:
            if isinstance(place, int):
                os.fchown(place, self.uid, self.gid)
            else:
                os.chown(place, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, folder: Path) -> bool:
        """Return whether this user may work in `folder`: tried, because modes do not tell all."""
        return self.run(["/bin/sh", "-c", 'cd -- "$0"', str(folder)]).returncode == 0

    def can_run(self, program: Path) -> bool:
        """Return whether this user may run `program`."""
        try:
            return self.run([str(program), "--version"]).returncode == 0
        except PermissionError:
            return False

    def run(self, command: Sequence[str], keep_open: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        """Run a program as this user to its end; its output and errors come back as one text."""
        with self.popen(command, stdout=subprocess.PIPE, keep_open=keep_open) as process:
            try:
                output, _ = process.communicate()
            except BaseException:  # Ctrl-C must not leave it at work
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, output.decode(errors="replace"))

    def popen(self, command: Sequence[str], stdout: int, keep_open: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
        """Start a program as this user, in a session of its own: Ctrl-C in our terminal is not for it.

        One that comes to us meanwhile ends the program again, which nobody else would know of.
        """
        with held_back() as signals:
            process = self._popen(command, stdout, keep_open)
            if signals:
                process.kill()
                process.wait()
        return process

    def _popen(self, command: Sequence[str], stdout: int, keep_open: Sequence[int]) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(  # noqa: S603 (programs of the wheel, by their full path)
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"},
                user=self.uid if self.is_another else None,
                group=self.gid if self.is_another else None,
                extra_groups=[] if self.is_another else None,
                umask=0o077,
                start_new_session=True,
                pass_fds=keep_open,
            )
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            raise ConfigurationError(
                f"PostgreSQL does not run as root, and root may not run it as {self.name} here: a container needs the "
                "capabilities SETUID, SETGID and CHOWN for that. Run this as an ordinary user, or set OM_PG_DSN."
            ) from error


def account_for_root() -> Account:
    """Return the user for a new folder of root's: openmemory, else postgres, else openmemory newly created.

    Not nobody, whose files every service that runs as nobody could read; and not a number without a name, which initdb
    refuses.
    """
    found = _named("openmemory") or _named("postgres")
    if found:
        return found
    if program := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        command = [program, *options, "--shell", "/usr/sbin/nologin", "openmemory"]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 (a second process may win the race)
    created = _named("openmemory")
    if not created:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and the user 'openmemory' could not be created for it. "
            "Create it (useradd --system openmemory), run this as an ordinary user, or set OM_PG_DSN."
        )
    return created


def name_of(uid: int) -> str:
    """Return the name of a user, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def has_name(uid: int) -> bool:
    """Return whether the system knows a user of that number, without which initdb does not work."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)
