"""The blocks of look.sql, asked on one connection."""

from psycopg import Connection

from openmemory.postgres.statements import Names, blocks
from openmemory.postgres.upgrade.found import Session
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan

Rows = list[tuple[object, ...]]


class Questions:
    """Questions on one connection about the tables that the settings name."""

    def __init__(self, connection: Connection, names: Names, plan: Plan | None = None) -> None:
        self.connection = connection
        self.layout = Layout(names, plan or Plan(names.dimension))

    def rows(self, block: str, **more: str) -> Rows:
        """Return the rows of a block of look.sql, none where it returns nothing."""
        done = self.connection.execute(self.layout.render(blocks("upgrade/look")[block], more).encode())
        return done.fetchall() if done.description else []


def session(row: tuple[object, ...]) -> Session:
    """Return the session of a row that tells its pid, application, address, user and state."""
    pid, *told = row
    return Session(as_int(pid), *map(str, told))


def as_int(value: object) -> int:
    """Return a number that PostgreSQL sent, of whichever type."""
    return int(str(value))
