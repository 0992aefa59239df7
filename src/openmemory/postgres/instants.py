"""Instants as PostgreSQL sends them, in UTC whatever time zone the database, the role or the session names.

psycopg would read them in the session's zone. There the first or the last hours of the calendar are in the year 0 or
10000, which Python has not; and every other instant would take three times as long.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor, abc
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.pq import Format
from psycopg.rows import BaseRowFactory
from psycopg.types.datetime import TimestamptzBinaryLoader

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Row = TypeVar("Row")

TIMESTAMPTZ_OID: Final = 1184
EPOCH_2000: Final = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH_2000) // MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH_2000) // MICROSECOND
_INT8 = Struct(">q")
_PSYCOPGS = psycopg.adapters.get_loader(TIMESTAMPTZ_OID, Format.BINARY) or TimestamptzBinaryLoader


class _InUtc(TimestamptzBinaryLoader):
    """psycopg's own loader, in C where it has one, made without the connection whose zone it would take."""

    def __new__(cls, oid: int, _context: abc.AdaptContext | None = None) -> Any:  # noqa: ANN401 -- another in its place
        return _PSYCOPGS(oid)


class _Nearest(Loader):
    """Reads an instant in no year that Python has as the first or the last; at five times the cost of the other."""

    format = Format.BINARY

    def load(self, data: abc.Buffer) -> datetime:
        since_2000_us: int = _INT8.unpack(data)[0]
        return EPOCH_2000 + min(max(since_2000_us, _FIRST), _LAST) * MICROSECOND


def read_in_utc(connection: AsyncConnection[Any]) -> None:
    """Have `connection` read instants in UTC; one in no year that Python has is a DataError."""
    connection.adapters.register_loader(TIMESTAMPTZ_OID, _InUtc)


async def fetched(cursor: AsyncCursor[Row], factory: BaseRowFactory[Row]) -> list[Row]:
    """Return all rows of `cursor`, which come as `factory` makes them, with any instant that PostgreSQL can store."""
    try:
        return await cursor.fetchall()
    except psycopg.DataError:
        if cursor.pgresult is None:
            raise
        return nearest_rows(cursor, cursor.pgresult, factory(cursor))


def nearest_rows(context: abc.AdaptContext, result: "PGresult", make: Callable[[Sequence[Any]], Row]) -> list[Row]:
    """Return all rows of `result`, with the first or the last of Python's instants for one before or after it.

    Only SQL of the owner's can have stored such a one: 'infinity', or a year before Christ.
    """
    adapters = AdaptersMap(context.adapters)
    adapters.register_loader(TIMESTAMPTZ_OID, _Nearest)
    values = Transformer.from_context(adapters)
    values.set_pgresult(result)
    return values.load_rows(0, result.ntuples, make)
