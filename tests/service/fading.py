"""A memory whose salience is looked at, and how closely."""

from openmemory.core.memory import Memory, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import Sector
from openmemory.service.memories import Memories

ABOUT = 1e-9


async def a_memory(memories: Memories, scope: Scope, **parts: object) -> Memory:
    """Return one that was kept, episodic and of salience 0.8."""
    told = Told("the mill wheel turns", sector=Sector.EPISODIC, salience=0.8, **parts)  # type: ignore[arg-type]
    return await memories.get(scope, (await memories.add(scope, told)).id)
