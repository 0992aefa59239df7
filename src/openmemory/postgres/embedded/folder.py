"""The data folder: where it is, whose it is, and whether it may be used."""

import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openmemory.errors import ConfigurationError
from openmemory.postgres.embedded.account import Account, account_for_root, name_of
from openmemory.postgres.embedded.locks import FileLock

PORT = 5432
MARK = "openmemory.lock"

_INSIDE = "openmemory"
_PARTIAL = ".openmemory-"
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
_REMEDIES = {
    errno.ENOSPC: "Free some space, or set OM_DATA_DIR to a folder on another disk.",
    errno.EDQUOT: "Free some space, or set OM_DATA_DIR to a folder on another disk.",
    errno.ENOLCK: "The file system has no locks: set OM_DATA_DIR to a folder on a local disk.",
}
_REMEDY = "Make it writable for the user who runs this, or set OM_DATA_DIR to a folder that is."


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder that is ours to use, the user it belongs to, and the places in it."""

    path: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """Return PostgreSQL's own folder."""
        return self.path / "postgres"

    @property
    def log(self) -> Path:
        """Return the folder of PostgreSQL's log."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """Return the socket's folder, or the link to it."""
        return self.path / "run"

    @property
    def starting(self) -> Path:
        """Return the lock of whoever starts or stops the server."""
        return self.path / MARK

    @property
    def users(self) -> Path:
        """Return the lock that each user of the server shares."""
        return self.path / "users.lock"

    @property
    def alive(self) -> Path:
        """Return the lock that PostgreSQL's processes hold as long as one of them lives."""
        return self.path / "server.lock"


def default_data_dir() -> Path:
    """Return the user's data folder for OpenMemory; as root, `/var/lib/openmemory`."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/openmemory")
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ConfigurationError("this user has no home folder: set OM_DATA_DIR to a folder of its own") from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "openmemory"
    # The XDG specification says to ignore a relative path.
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (configured if configured.is_absolute() else home / ".local" / "share") / "openmemory"


def place_of(path: Path) -> Path:
    """Return where the data of `path` lie: in that folder, or in the one that was made in it."""
    path = Path(os.path.realpath(path.expanduser()))
    inside = path / _INSIDE
    return inside if _is_marked(inside) and not _is_marked(path) else path


def open_folder(path: Path) -> DataFolder:
    """Return the folder at `path`, made if it is missing; raise ConfigurationError if it may not be used.

    A folder that root has made stays root's, with the mode that it has: PostgreSQL's user gets one of its own in it.
    """
    given = Path(os.path.realpath(path.expanduser()))
    path = place_of(given)
    if path != given and os.geteuid() == 0:
        _refuse_shared(given)
    if path.exists():
        _refuse_what_is_not_ours(path)
        if others := _others(path):
            if place_of(given) != path:  # another process has made it meanwhile
                return open_folder(given)
            raise ConfigurationError(
                f"the folder {path} holds something else ({', '.join(others[:3])}). "
                "Set OM_DATA_DIR to an empty or new folder."
            )
    account = _account(path)
    if account.is_another and path.exists() and path.stat().st_uid != account.uid:
        _refuse_shared(path)
        _refuse_unreachable(path, path, account)
        path /= _INSIDE
    _make(path, account)
    if not (path / MARK).exists() and path.stat().st_uid == os.geteuid():
        path.chmod(0o700)
    if account.is_another:
        _refuse_unreachable(path, path, account)
    _refuse_open_to_others(path)
    return DataFolder(path, account)


def make_private(path: Path, account: Account) -> None:
    """Make the folder `path` of mode 0700 and of `account`, unless it is there."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    account.own(path)


def socket_folder(folder: DataFolder) -> Path:
    """Return the folder of the socket, made if it is missing.

    A path that is too long for a socket, or has libpq's separator in it, is replaced by a new private folder in /tmp,
    found again through the link `run`; one there that is not private and ours is never used.
    """
    fits = len(os.fsencode(folder.run / f".s.PGSQL.{PORT}")) <= _SOCKET_PATH_BYTES and "," not in str(folder.run)
    target = Path(os.path.realpath(folder.run))
    if not fits and folder.run.is_symlink() and _is_private(target, folder.account):
        return target
    if folder.run.is_symlink():
        folder.run.unlink()
    if fits:
        make_private(folder.run, folder.account)
        return folder.run
    if folder.run.exists():  # from when the folder had a shorter path
        shutil.rmtree(folder.run)
    # Not gettempdir(): TMPDIR may be long itself, and differ between the processes that share the server.
    target = Path(tempfile.mkdtemp(prefix="openmemory-", dir="/tmp"))
    folder.account.own(target)
    folder.run.symlink_to(target)
    return target


def forget_socket_folder(folder: DataFolder) -> None:
    """Remove the socket's folder if it lies outside the data folder."""
    if folder.run.is_symlink():
        target = Path(os.path.realpath(folder.run))
        if _is_private(target, folder.account):
            shutil.rmtree(target)
        folder.run.unlink()


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses inside into a ConfigurationError that says what to do."""
    try:
        yield
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename}" if error.filename else f"{error.strerror or error}"
        remedy = _REMEDIES.get(error.errno or 0, _REMEDY)
        raise ConfigurationError(f"the data folder {path} cannot be used ({what}). {remedy}") from error


def _account(path: Path) -> Account:
    """Return the user that PostgreSQL runs as: ourselves, or as root whoever owns the folder already."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if path.exists():
        status = path.stat()
        if status.st_uid != 0:
            return Account(status.st_uid, status.st_gid)
        if (path / MARK).exists():
            raise ConfigurationError(
                f"the data folder {path} belongs to root, and PostgreSQL does not run as root. "
                f"Give it back to the user it ran as: chown -R openmemory {path}"
            )
    return account_for_root()


def _refuse_what_is_not_ours(path: Path) -> None:
    if not path.is_dir():
        raise ConfigurationError(f"{path} is not a folder. Set OM_DATA_DIR to a folder.")
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner):
        raise ConfigurationError(
            f"the data folder {path} belongs to {name_of(owner)}, not to {name_of(os.geteuid())}. "
            "Run this as its owner, or set OM_DATA_DIR to a folder of your own."
        )


def _make(path: Path, account: Account) -> None:
    """Make the folder and its missing parents, unless PostgreSQL's user could not reach it there."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    if account.is_another:
        _refuse_unreachable(path, (missing or [path])[-1].parent, account)
    for place in reversed(missing[1:]):
        place.mkdir(exist_ok=True)
        if account.is_another:
            place.chmod(0o755)  # a strict umask must not shut PostgreSQL's user out of what we just made
    if missing:
        _make_marked(path, account)


def _make_marked(path: Path, account: Account) -> None:
    """Make the folder as it is to be, in one step: another process never finds it unmarked, or another's."""
    try:
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=path.parent))
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        FileLock(partial / MARK, account).close()
        account.own(partial)
        partial.rename(path)
    except BaseException as error:  # Ctrl-C must not leave it there either
        shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, OSError) or error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise  # otherwise another process has made it meanwhile


def _is_marked(path: Path) -> bool:
    """Return whether `path` is a data folder; one that we may not look into may be, and its owner is named later."""
    try:
        return (path / MARK).exists()
    except PermissionError:
        return True
    except OSError:
        return False


def _others(path: Path) -> list[str]:
    """Return what lies in a folder that is not marked as ours, in order.

    A volume's own folder is no sign of another program, nor is one that is being made.
    """
    names = {entry.name for entry in path.iterdir()}
    others = sorted(name for name in names if name != "lost+found" and not name.startswith(_PARTIAL))
    return [] if MARK in names else others


def _refuse_unreachable(path: Path, place: Path, account: Account) -> None:
    if not account.can_enter(place):
        let_in = f"Say chmod 711 {place}, set" if place == path else "Set"
        raise ConfigurationError(
            f"the data folder cannot be {path}: PostgreSQL does not run as root but as {account.name}, "
            f"who may not enter {place}. "
            f"{let_in} OM_DATA_DIR=/var/lib/openmemory, or run this as an ordinary user."
        )


def _refuse_shared(path: Path) -> None:
    """Refuse a folder of root's in which others could put data of theirs in the place of PostgreSQL's."""
    if mode := _open_to_others(path):
        raise ConfigurationError(
            f"others may write to the folder {path} (its mode is {mode:04o}), and could put data of theirs in it. "
            f"Say chmod 755 {path}. Where nobody else uses it, as in a container, set OM_DATA_DIR={path / _INSIDE} "
            "instead: a folder of its own in it."
        )


def _refuse_open_to_others(path: Path) -> None:
    if mode := _open_to_others(path):
        raise ConfigurationError(
            f"others may write to the data folder {path} (its mode is {mode:04o}). Say chmod 700 {path}, or set "
            "OM_DATA_DIR to a folder that is not there yet; if that has no effect, the file system keeps no "
            "permissions: it must be a folder on a local disk."
        )


def _open_to_others(path: Path) -> int:
    """Return the mode of a folder that others may write to, or 0."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return mode if mode & 0o022 else 0


def _is_private(path: Path, account: Account) -> bool:
    """Return whether `path` is a folder of `account` that nobody else may enter."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    is_closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return is_closed and status.st_uid == account.uid
