"""Connections that are lent for one transaction each, and come back clean or not at all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.direct import AS_UTF8
from openmemory.postgres.failures import AllBusy, answered
from openmemory.postgres.openings import Connection
from openmemory.postgres.unreachable import unreachable, unreadable

Result = TypeVar("Result")

_CONNECTIONS_AT_LEAST = 4
# A pool that has tried for so long gives up, and the next request that wants a connection tries at once. Left alone it
# would wait twice as long after each failure, and a server be away for minutes after its PostgreSQL is back.
_RECONNECT_S = 2.0
_ROLLBACK_S = 5.0


class _OnceAnOutage(logging.Filter):
    """Lets a pool say once that it gets no connection, and not at each try of each of its connections."""

    def __init__(self) -> None:
        super().__init__()
        self._away: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        pool = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if not record.msg.startswith(("error connecting in", "reconnection attempt in")) or not isinstance(pool, str):
            return True
        is_first = pool not in self._away
        self._away.add(pool)
        return is_first

    def over(self, pool: str) -> None:
        """Let a pool say so again: it got a connection, or is closed."""
        self._away.discard(pool)


_once_an_outage = _OnceAnOutage()
logging.getLogger("psycopg.pool").addFilter(_once_an_outage)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections one process holds, and for how long it waits for one."""

    most: int = 20
    idle_s: float = 30
    connect_timeout_s: float = 2


class Pool(AsyncConnectionPool[Connection]):
    """A pool that looks at each connection as it comes back, and takes it back whatever becomes of its borrower."""

    def __init__(
        self,
        conninfo: Mapping[str, str],
        limits: PoolLimits,
        *,
        prepare: bool,
        configure: Callable[[Connection], Awaitable[None]],
    ) -> None:
        async def connected(connection: Connection) -> None:
            await configure(connection)
            _once_an_outage.over(self.name)

        self._returning: set[asyncio.Task[None]] = set()
        self._lent = 0
        super().__init__(
            conninfo.get("conninfo", ""),
            kwargs={**_keywords(conninfo), "prepare_threshold": 0 if prepare else None},
            min_size=min(_CONNECTIONS_AT_LEAST, limits.most),
            max_size=limits.most,
            max_idle=limits.idle_s,
            timeout=limits.connect_timeout_s,
            reconnect_timeout=_RECONNECT_S,
            configure=connected,
            open=False,
        )

    @property
    def must_wait(self) -> bool:
        """Whether the next who wants a connection has to wait for one to come back.

        False if none is lent: callers then wait because the pool cannot connect.
        """
        is_waited_for = self.get_stats().get("requests_waiting", 0) > 0
        return self._lent >= self.max_size or (self._lent > 0 and is_waited_for)

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 -- as psycopg has it
        """Close every connection, those that are on their way back too."""
        if self._returning:
            await asyncio.wait(self._returning, timeout=timeout)
        await super().close(timeout)
        _once_an_outage.over(self.name)

    async def begin(self, work: Callable[[Connection], Awaitable[Result]]) -> tuple[Connection, Result]:
        """Do the first work of a transaction, and return its connection and the result.

        After PostgreSQL was restarted those in the pool are dead, which shows then, and another connection is taken; a
        pool has no more dead ones than connections. `work` must bear being run again: where it commits and its answer
        is lost, nobody knows whether it was done. Raises AllBusy where all are lent and none came back in time.
        """
        for dead in range(self.max_size + 1):
            connection = await self._lend()
            try:
                return connection, await work(connection)
            except BaseException as error:
                ended = isinstance(error, psycopg.OperationalError) and (connection.broken or _ends_session(error))
                await self.give_back(connection, close=ended)
                if not ended or dead == self.max_size:
                    raise
        raise AssertionError("unreachable")

    async def _lend(self) -> Connection:
        try:
            connection = await self.getconn()
        except PoolTimeout as error:
            if self._lent < self.max_size:
                raise
            raise AllBusy(f"all {self.max_size} connections (OM_PG_POOL_MAX) are at work; try again") from error
        self._lent += 1
        return connection

    async def give_back(self, connection: Connection, *, close: bool = False) -> None:
        """Give a connection back in a task of its own: cancelled while the pool takes it, it would be lost to both."""
        returning = asyncio.create_task(self._returned(connection, close=close))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        await asyncio.shield(returning)

    async def _returned(self, connection: Connection, *, close: bool) -> None:
        try:
            # A pipeline that was cut off may leave its mode behind, in which no transaction opens.
            if close or connection.pgconn.pipeline_status != PipelineStatus.OFF:
                await connection.close()
            elif connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await _abandon(connection)
        finally:
            try:
                await self.putconn(connection)
            finally:
                self._lent -= 1  # not before: whoever waits for it has it by now


async def connect(conninfo: Mapping[str, str]) -> Connection:
    """Return a connection of its own, beside any pool, that prepares nothing."""
    keywords: dict[str, Any] = {**_keywords(conninfo), "prepare_threshold": None}
    return await AsyncConnection.connect(conninfo.get("conninfo", ""), **keywords)


async def why_so_few(conninfo: Mapping[str, str]) -> DatabaseUnavailable | ConfigurationError:
    """Return why a pool has not the connections that it opens at first: it tells of none by itself."""
    try:
        await (await connect(conninfo)).close()
    except psycopg.ProgrammingError as error:
        return unreadable(conninfo, error)
    except psycopg.Error as error:
        return unreachable(conninfo, error)
    return DatabaseUnavailable("PostgreSQL lets in fewer connections than are opened at first: see OM_PG_POOL_MAX")


def _keywords(conninfo: Mapping[str, str]) -> dict[str, object]:
    return {**{key: value for key, value in conninfo.items() if key != "conninfo"}, **AS_UTF8, "autocommit": True}


def _ends_session(error: psycopg.Error) -> bool:
    """Return whether PostgreSQL said goodbye: it stops, or somebody ended the session."""
    return isinstance(error, errors.AdminShutdown | errors.CrashShutdown)


async def _abandon(connection: Connection) -> None:
    """Roll back, or close a connection that cannot: the pool replaces it."""
    try:
        await answered(connection.execute("ROLLBACK", prepare=False), _ROLLBACK_S)
    except (psycopg.Error, DatabaseUnavailable):
        await connection.close()
