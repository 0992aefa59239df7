"""Whether a memory is the caller's to read and to change."""

from collections.abc import Collection, Mapping
from uuid import UUID

from openmemory.core.memory import Memory
from openmemory.core.scope import Scope
from openmemory.errors import AnotherUsersMemory, Malformed, MemoryNotFound, VersionChanged


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
        if getattr(memory, name) != value:
            raise Malformed.at(name, "is another than the memory has, and cannot be changed")
