"""A database kept in a file and brought back from it, with the rows counted on both ways."""

from openmemory.postgres.backup.archive import Archive, read
from openmemory.postgres.backup.foreign import others
from openmemory.postgres.backup.restoring import (
    gather_statistics,
    replaced,
    restore,
)
from openmemory.postgres.backup.saving import dump, our_tables
from openmemory.postgres.backup.selection import left_out, ours_of
from openmemory.postgres.backup.tables import Replaced

__all__ = [
    "Archive",
    "Replaced",
    "dump",
    "gather_statistics",
    "left_out",
    "others",
    "our_tables",
    "ours_of",
    "read",
    "replaced",
    "restore",
]
