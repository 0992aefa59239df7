"""What is asked on one connection about the tables that the settings name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from psycopg import Connection

from openmemory.postgres.asking import asked
from openmemory.postgres.statements import Statement
from openmemory.postgres.upgrade.layout import Layout

Row = TypeVar("Row")


class Questions:
    """Statements with the names of a layout in them; `more` is SQL for the placeholders that those leave."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self.connection = connection
        self.layout = layout

    def all(self, statement: Statement[Row], /, **more: str) -> list[Row]:
        """Return every row of `statement`."""
        return asked(self.connection, statement, self._rendered(statement, more))

    def one(self, statement: Statement[Row], /, **more: str) -> Row:
        """Return the row of a `statement` that has one whatever it finds, as a count has."""
        (row,) = self.all(statement, **more)
        return row

    def each(self, statement: Statement[Row], at_once: int, /, **more: str) -> Iterator[Row]:
        """Yield every row of `statement`, of which no more are held than are fetched `at_once`."""
        with self.connection.transaction(), self.connection.cursor("rows", row_factory=statement.rows) as cursor:
            cursor.itersize = at_once
            cursor.execute(self._rendered(statement, more))
            yield from cursor

    def run(self, statement: Statement[None], /, **more: str) -> int:
        """Run a statement without rows and return how many rows it changed."""
        return self.connection.execute(self._rendered(statement, more)).rowcount

    def _rendered(self, statement: Statement[Row], more: dict[str, str]) -> bytes:
        return self.layout.render(statement.template, more).encode()


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are."""

    count: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are, and the id of one of them, "" where there is none."""

    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Name:
    """The name of one of those that are listed."""

    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether it is so."""

    yes: bool
