"""Rows as values of their class."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from psycopg.rows import BaseRowFactory

Row = TypeVar("Row")


def rows_of(kind: type[Row]) -> BaseRowFactory[Row]:
    """Return the row factory of the dataclass `kind`, whose fields are the statement's columns in their order.

    Raises TypeError where the columns are others: a query and its class can then not drift apart unseen. psycopg's
    class_row would pass each row as keywords, at three times the cost.
    """
    expected = [field.name for field in fields(kind)] if is_dataclass(kind) else []

    checked = False

    def factory(cursor: Any) -> Callable[[Sequence[Any]], Row]:  # noqa: ANN401 -- any of psycopg's cursors
        nonlocal checked
        if not checked and cursor.description:  # once: a description costs more than the rows of a short answer
            found = [column.name for column in cursor.description]
            if found != expected:
                raise TypeError(f"{kind.__name__} has the fields {expected}, the statement the columns {found}")
            checked = True
        return lambda values: kind(*values)

    return factory
