"""Whether a memory is the caller's to read and to change."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from openmemory.core.memory import Memory
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.errors import AnotherUsersMemory, Malformed, MemoryNotFound, VersionChanged

_MS = timedelta(milliseconds=1)
_OF_THE_SECTOR = {"primary_sector", "sectors", "decay_lambda"}


def of_scope(scope: Scope, memory_id: UUID, memory: Memory | None) -> Memory:
    """Return the memory that was read under an id, if the scope has it; raises MemoryNotFound or AnotherUsersMemory."""
    if memory is None:
        raise MemoryNotFound(f"memory {memory_id}")
    if scope.project is not None and memory.project_id != scope.project:
        raise MemoryNotFound(f"memory {memory_id}")
    if scope.user is not None and memory.user_id != scope.user:
        raise AnotherUsersMemory(f"memory {memory_id} is not of this user")
    return memory


def ensure_version(memory: Memory, versions: Collection[int] | None) -> None:
    """Raise VersionChanged unless the memory is at one of `versions`; None stands for any."""
    if versions is not None and memory.version not in versions:
        raise VersionChanged(f"the memory is at version {memory.version} now, and not at what was asked for")


def ensure_as_read(memory: Memory, as_read: Mapping[str, object]) -> None:
    """Raise Malformed unless the memory has the values of `as_read`, which cannot be changed."""
    for name, value in as_read.items():
        if not _has(memory, name, value):
            remedy = "change `sector`" if name in _OF_THE_SECTOR else "leave it out, or send it as it was read"
            raise Malformed.at(name, f"is another than the memory has, and cannot be changed; {remedy}")


def _has(memory: Memory, name: str, value: object) -> bool:
    """Return whether a memory has a value, as clients see it."""
    match name:
        case "sectors":
            return memory.sectors | Sector(memory.primary_sector).bit == value
        case "created_at":  # clients see milliseconds
            return isinstance(value, datetime) and timedelta(0) <= memory.created_at - value < _MS
        case "decay_lambda":
            return memory.decay_rate == value
        case _:
            return bool(getattr(memory, name) == value)
