"""Objects that a dump of the whole database holds but the owner of OpenMemory's tables cannot restore."""

from collections.abc import Mapping
from dataclasses import dataclass

from openmemory.postgres.asking import asked
from openmemory.postgres.direct import patient
from openmemory.postgres.statements import Names, statement


@dataclass(frozen=True, slots=True)
class Others:
    """The number of such objects of one kind, and the first of their names."""

    kind: str
    count: int
    first: list[str]

    def __str__(self) -> str:
        return f"{self.kind}: {', '.join(self.first)}{', …' if self.count > len(self.first) else ''}"


_OTHERS = statement("backup.others", Others)


def others(conninfo: Mapping[str, str], names: Names) -> list[Others]:
    """Return, kind by kind, the objects that the owner of OpenMemory's tables could not restore."""
    with patient(conninfo) as connection:
        return asked(connection, _OTHERS, memories=names.table(names.memories))
