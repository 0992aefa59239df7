"""Statements that make one transaction, sent together and waited for once.

psycopg's own pipeline sends each statement by itself and looks for answers meanwhile: five packets where one does, and
a tenth more of the server's processor time for a question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from psycopg import abc, errors, generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format

from openmemory.postgres.instants import nearest_rows
from openmemory.postgres.openings import Connection

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

Row = TypeVar("Row")
_Key: TypeAlias = tuple[bytes, tuple[int, ...]]

_PARAMETER: Final = re.compile(rb"%(?:%|\((\w+)\)s)")
_STATEMENTS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement and its parameters by name; in the statement they are `%(name)s`, and any other % is doubled."""

    query: bytes
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str


@dataclass(slots=True)
class Answer:
    """What one statement returned."""

    _result: "PGresult"
    _values: abc.Transformer

    def rows(self, factory: Callable[[Any], Callable[[Sequence[Any]], Row]]) -> list[Row]:
        """Return the rows as `factory`, a row factory that looks at no more than the description, makes them."""
        self._values.set_pgresult(self._result)
        make = factory(self)
        try:
            return self._values.load_rows(0, self._result.ntuples, make)
        except errors.DataError:
            return nearest_rows(self._values, self._result, make)

    @property
    def description(self) -> list[_Column]:
        """Return the columns."""
        names = (self._result.fname(number) for number in range(self._result.nfields))
        return [_Column((name or b"").decode()) for name in names]


@dataclass(slots=True)
class _Session:
    """How a connection's values travel, and what is prepared there, by statement and types of parameters."""

    values: abc.Transformer
    prepared: dict[_Key, bytes] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=count)


class RoundTrips:
    """Runs transactions in one round trip each; with `prepare`, each statement is prepared once a connection."""

    def __init__(self, *, prepare: bool) -> None:
        self._prepare = prepare
        self._sessions: WeakKeyDictionary[Connection, _Session] = WeakKeyDictionary()

    async def run(self, connection: Connection, statements: Sequence[Sent]) -> list[Answer]:
        """Run `statements` in one transaction and return what each returned; an error undoes all and is raised.

        A connection on which this is cancelled stays in pipeline mode, and cannot be used any more.
        """
        session = self._sessions.get(connection)
        if session is None:
            # A Transformer made of the connection would refer to it, and its own entry here would keep it alive.
            session = self._sessions[connection] = _Session(Transformer.from_context(connection.adapters))
        try:
            return await self._run(connection, session, statements)
        except (errors.InvalidSqlStatementName, errors.FeatureNotSupported):
            # The session has forgotten what was prepared (psycopg has it forget all after a ROLLBACK), or a table has
            # other columns since. Nothing was done: all is one transaction.
            if not session.prepared:
                raise
            session.prepared.clear()
            return await self._run(connection, session, statements)

    async def _run(self, connection: Connection, session: _Session, statements: Sequence[Sent]) -> list[Answer]:
        ready = [_ready(session, one) for one in statements]  # before the connection is in another mode: it may fail
        pgconn = connection.pgconn
        pgconn.enter_pipeline_mode()
        preparing = [self._send(pgconn, session, one) for one in ready]
        pgconn.pipeline_sync()
        results = await connection.wait(_results(pgconn, session, preparing))
        failed = next((one for one in results if one.status == ExecStatus.FATAL_ERROR), None)
        if pgconn.status == ConnStatus.OK:
            try:
                pgconn.exit_pipeline_mode()
            except errors.OperationalError:
                # A pooler that stops may say goodbye twice. The first one counts; who lent the connection closes it.
                if failed is None:
                    raise
        if failed is not None:
            raise errors.error_from_result(failed, encoding="utf-8")
        return [Answer(one, session.values) for one in results]

    def _send(self, pgconn: "PGconn", session: _Session, one: "_Ready") -> tuple[_Key, bytes] | None:
        """Send a statement; return its key and its name if it is prepared with this."""
        if not self._prepare:
            pgconn.send_query_params(one.query, one.params, one.types, one.formats, Format.BINARY)
            return None
        key = one.query, one.types
        known = session.prepared.get(key)
        name = known or b"openmemory_%d" % next(session.numbers)
        if known is None:
            pgconn.send_prepare(name, one.query, one.types)
        pgconn.send_query_prepared(name, one.params, one.formats, Format.BINARY)
        return None if known else (key, name)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement with its parameters as they are sent."""

    query: bytes
    params: "Sequence[abc.Buffer | None]"
    types: tuple[int, ...]
    formats: Sequence[Format]


def _ready(session: _Session, one: Sent) -> _Ready:
    query, names = _positional(one.query)
    values = session.values
    params = values.dump_sequence([one.params[name] for name in names], [PyFormat.AUTO] * len(names))
    return _Ready(query, params, values.types or (), values.formats or ())


def _results(
    pgconn: "PGconn", session: _Session, preparing: Sequence[tuple[_Key, bytes] | None]
) -> "abc.PQGen[list[PGresult]]":
    """Wait for all results, and for the end of the transaction; return them, and those of preparing that failed."""
    yield from generators.send(pgconn)
    results: list[PGresult] = []
    for prepared in preparing:
        if prepared is not None:
            made = yield from generators.fetch_many(pgconn)
            if [one.status for one in made] == [ExecStatus.COMMAND_OK]:
                key, name = prepared
                session.prepared[key] = name
            else:
                results += made
        results += yield from generators.fetch_many(pgconn)
    yield from generators.fetch_many(pgconn)
    return results


@lru_cache(_STATEMENTS_KEPT)
def _positional(query: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement with $1, $2, … for its parameters, and their names in that order."""
    numbers: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        name = found[1]
        return b"%" if name is None else b"$%d" % numbers.setdefault(name, len(numbers) + 1)

    text = _PARAMETER.sub(number, query)
    return text, tuple(name.decode() for name in numbers)
