"""What else is in the database and would be in a dump of all of it, but is not the owner's to bring back."""

from collections.abc import Mapping
from dataclasses import dataclass

from openmemory.postgres.direct import patient
from openmemory.postgres.statements import Names, statement


@dataclass(frozen=True, slots=True)
class Others:
    """Things of one kind that the owner of OpenMemory's tables could not make again, and the first of their names."""

    kind: str
    count: int
    first: list[str]

    def __str__(self) -> str:
        return f"{self.kind}: {', '.join(self.first)}{', …' if self.count > len(self.first) else ''}"


_OTHERS = statement("backup.others", Others)


def others(conninfo: Mapping[str, str], names: Names) -> list[Others]:
    """Return what a dump of the whole database holds that the owner of OpenMemory's tables could not make again."""
    with patient(conninfo) as connection, connection.cursor(row_factory=_OTHERS.rows) as cursor:
        return cursor.execute(_OTHERS.template.encode(), {"memories": names.table(names.memories)}).fetchall()
