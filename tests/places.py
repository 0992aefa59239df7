"""Where the servers of a test run keep their data."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 -- new folders in it alone
_ROOM_BYTES = 8 << 30


def _choose() -> Path:
    """Return a folder in memory where there is room, else the usual one.

    The servers flush their writes to the disk as they do for users, which in memory costs nothing; a fifth of a run's
    time otherwise. What a kill -9 may lose is the same in both.
    """
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    roomy = usable and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    return _MEMORY if roomy else Path(tempfile.gettempdir())


PLACES = _choose()
