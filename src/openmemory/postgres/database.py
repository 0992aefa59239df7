"""Connections, and the two doors to rows: one tenant's, and the operator's registry."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, TypeVar

import psycopg
from psycopg import AsyncConnection, errors, sql
from psycopg.pq import Escaping, TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmemory.core.scope import Scope
from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.adaptation import register_types
from openmemory.postgres.direct import EXTENSION_SCHEMA
from openmemory.postgres.failures import first_line, translated
from openmemory.postgres.statements import Names, Statement

Row = TypeVar("Row")
Connection = AsyncConnection[tuple[object, ...]]

_CONNECTIONS_AT_LEAST = 4
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections one process holds, and for how long it waits for one."""

    most: int = 20
    idle_s: float = 30
    connect_timeout_s: float = 2


class Transaction:
    """Statements on one connection inside one transaction."""

    def __init__(self, connection: Connection, rendered: "Rendered", bound: Mapping[str, object]) -> None:
        self._connection = connection
        self._rendered = rendered
        self._bound = bound

    @property
    def names(self) -> Names:
        """The names and the dimension of this database's tables."""
        return self._rendered.names

    async def all(self, statement: Statement[Row], **params: object) -> list[Row]:
        """Return every row of `statement`."""
        cursor = self._connection.cursor(binary=True, row_factory=statement.rows)
        await cursor.execute(self._rendered[statement], {**params, **self._bound})
        return await cursor.fetchall()

    async def one(self, statement: Statement[Row], **params: object) -> Row | None:
        """Return the first row of `statement`, or None."""
        cursor = self._connection.cursor(binary=True, row_factory=statement.rows)
        await cursor.execute(self._rendered[statement], {**params, **self._bound})
        return await cursor.fetchone()

    async def run(self, statement: Statement[None], **params: object) -> int:
        """Run a statement without rows and return how many rows it changed."""
        cursor = await self._connection.execute(self._rendered[statement], {**params, **self._bound})
        return cursor.rowcount

    async def explain(self, statement: Statement[Row], **params: object) -> tuple[str, ...]:
        """Return PostgreSQL's plan of `statement`, as run, a line an entry."""
        query = b"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) " + self._rendered[statement]
        cursor = await self._connection.execute(query, {**params, **self._bound})
        return tuple(str(line) for (line,) in await cursor.fetchall())


class TenantTx(Transaction):
    """A transaction that works as the tenants' role and sees one tenant.

    `tenant` is bound here, after the caller's parameters, so no caller can bind another.
    """

    def __init__(self, connection: Connection, rendered: "Rendered", scope: Scope) -> None:
        super().__init__(connection, rendered, {"tenant": scope.tenant})
        self.scope = scope


class RegistryTx(Transaction):
    """A transaction of the login role on the operator's tables; it has no right to become a tenant."""


@dataclass(slots=True)
class Rendered:
    """Statements with this database's names in them, each rendered once."""

    names: Names
    _known: dict[str, bytes] = field(default_factory=dict)

    def __getitem__(self, statement: Statement[Row]) -> bytes:
        query = self._known.get(statement.name)
        if query is None:
            query = self._known[statement.name] = self.names.render_with_params(statement.template)
        return query


class Database:
    """A pool of connections to one PostgreSQL, and how tenants' transactions open on it.

    `conninfo` holds libpq's keywords, and under "conninfo" a whole connection string if there is one.
    """

    def __init__(
        self,
        conninfo: Mapping[str, str],
        names: Names,
        limits: PoolLimits = PoolLimits(),
        statement_timeout_ms: int = 10_000,
        *,
        behind_pooler: bool = True,
    ) -> None:
        self.names = names
        self._rendered = Rendered(names)
        self._settings = _settings(statement_timeout_ms)
        self._behind_pooler = behind_pooler
        self._openings = _Openings(b"", b"")
        self._patience_s = statement_timeout_ms / 1000 + _GRACE_S
        self._pool = AsyncConnectionPool[Connection](
            conninfo.get("conninfo", ""),
            kwargs={
                **{key: value for key, value in conninfo.items() if key != "conninfo"},
                "autocommit": True,
                # A transaction pooler hands each transaction another session, so nothing may be prepared there.
                "prepare_threshold": None if behind_pooler else 0,
            },
            min_size=min(_CONNECTIONS_AT_LEAST, limits.most),
            max_size=limits.most,
            max_idle=limits.idle_s,
            timeout=limits.connect_timeout_s,
            configure=self._configure,
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, and learn where the extension's operators live; raises DatabaseUnavailable."""
        try:
            await self._pool.open(wait=True, timeout=30)
            async with self._pool.connection() as connection:
                self._openings = await _openings(connection, self.names, self._settings if self._behind_pooler else ())
        except (psycopg.Error, PoolTimeout) as error:
            await self._pool.close()
            raise DatabaseUnavailable(f"cannot connect: {first_line(error)}") from error
        except ConfigurationError:
            await self._pool.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def tenant(self, scope: Scope, *, read_only: bool = False) -> AsyncIterator[TenantTx]:
        """Open a transaction that can only see and change `scope.tenant`; commit at the end, roll back on error.

        The role, the tenant and the limits are set in one round trip and are gone with the transaction, so it is
        safe behind a transaction pooler.
        """
        opening = self._openings.reading if read_only else self._openings.writing
        async with self._transaction(opening, scope.tenant) as connection:
            yield TenantTx(connection, self._rendered, scope)

    @asynccontextmanager
    async def registry(self) -> AsyncIterator[RegistryTx]:
        """Open a transaction on the operator's tables, as the login role."""
        async with self._transaction(b"BEGIN", None) as connection:
            yield RegistryTx(connection, self._rendered, {})

    @asynccontextmanager
    async def _transaction(self, opening: bytes, tenant: str | None) -> AsyncIterator[Connection]:
        # Statements have a time limit in PostgreSQL; this one is for a PostgreSQL that does not answer at all.
        with translated():
            async with asyncio.timeout(self._patience_s):
                connection = await self._begun(opening, tenant)
                try:
                    yield connection
                    await connection.execute("COMMIT", prepare=False)
                finally:
                    await self._give_back(connection)

    async def _begun(self, opening: bytes, tenant: str | None) -> Connection:
        """Return a connection with its transaction open.

        After PostgreSQL was restarted those in the pool are dead, which shows when a transaction opens. Nothing was
        done by then, so another connection is taken; a pool has no more dead ones than connections.
        """
        for dead in range(self._pool.max_size + 1):
            connection = await self._pool.getconn()
            try:
                begin = opening if tenant is None else opening + _literal(connection, tenant)
                await connection.execute(begin, prepare=False)
            except BaseException as error:
                ended = isinstance(error, psycopg.OperationalError) and (connection.broken or _ends_session(error))
                await self._give_back(connection, close=ended)
                if not ended or dead == self._pool.max_size:
                    raise
            else:
                return connection
        raise AssertionError("unreachable")

    async def _give_back(self, connection: Connection, *, close: bool = False) -> None:
        try:
            if close:
                await connection.close()
            elif connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await _abandon(connection)
        finally:
            await self._pool.putconn(connection)

    async def _configure(self, connection: Connection) -> None:
        await register_types(connection)
        if not self._behind_pooler:
            await connection.execute("; ".join(f"SET {pair}" for pair in self._settings).encode(), prepare=False)


@dataclass(frozen=True, slots=True)
class _Openings:
    """The strings that open a tenant's transaction, all but the tenant's own literal."""

    writing: bytes
    reading: bytes


def _settings(timeout_ms: int) -> tuple[str, ...]:
    """Return what holds in every transaction.

    Every statement reaches its rows through an index that begins with the tenant. On small or freshly filled tables
    the planner would rather read the whole table, other tenants' rows too, so it may not.
    """
    return (f"statement_timeout = {timeout_ms}", "enable_seqscan = off", "enable_bitmapscan = off", "jit = off")


async def _openings(connection: Connection, names: Names, settings: tuple[str, ...]) -> _Openings:
    """Return how tenants' transactions open; `settings` are set with them where they cannot belong to the session."""
    cursor = await connection.execute(EXTENSION_SCHEMA)
    found = await cursor.fetchone()
    if found is None:
        raise ConfigurationError("the extension vector is not in this database; run `openmemory migrate`")
    schemas = ", ".join(sql.Identifier(str(name)).as_string() for name in (names.schema, found[0]))
    role = sql.Identifier(names.app_role).as_string()
    pairs = (f"ROLE {role}", f"search_path = {schemas}", *settings)
    local = "".join(f"SET LOCAL {pair}; " for pair in pairs)
    # A question's plan depends on its parameters: the tenant, and which filters are null. Not so for writes, where it
    # would have each foreign key's check planned anew for every row.
    # A question's rows come in the order of the tenant index; on a small table a sort would seem cheaper.
    custom = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_sort = off; "
    tenant = "SET LOCAL app.current_tenant = "
    return _Openings(f"BEGIN; {local}{tenant}".encode(), f"BEGIN READ ONLY; {local}{custom}{tenant}".encode())


def _literal(connection: Connection, text: str) -> bytes:
    """Return `text` quoted by libpq for this connection."""
    return Escaping(connection.pgconn).escape_literal(text.encode())


def _ends_session(error: psycopg.Error) -> bool:
    """Return whether PostgreSQL said goodbye: it stops, or somebody ended the session."""
    return isinstance(error, errors.AdminShutdown | errors.CrashShutdown)


async def _abandon(connection: Connection) -> None:
    """Roll back, or close a connection that cannot: the pool replaces it."""
    try:
        await connection.execute("ROLLBACK", prepare=False)
    except psycopg.Error:
        await connection.close()
