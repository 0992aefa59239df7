"""Connections, and the two doors to rows: one tenant's, and the operator's registry."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncCursor, errors
from psycopg_pool import PoolTimeout

from openmemory.core.scope import Scope
from openmemory.errors import Overloaded
from openmemory.postgres.adaptation import register_types
from openmemory.postgres.exchanges import CheckFacts, exchanged, is_of_proof, prove
from openmemory.postgres.failures import answered, translated
from openmemory.postgres.instants import fetched
from openmemory.postgres.liveness import Pulse
from openmemory.postgres.openings import Connection, Openings, literal, openings, session_settings
from openmemory.postgres.pool import Pool, PoolLimits, why_so_few
from openmemory.postgres.round_trip import Answer, RoundTrips, Sent
from openmemory.postgres.statements import Call, Names, Statement, statement
from openmemory.postgres.unreachable import refuse_unreadable, unreachable

Row = TypeVar("Row")
OtherRow = TypeVar("OtherRow")
Result = TypeVar("Result")

_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class _One:
    one: int


_PING = statement("registry.ping", _One)


class Transaction:
    """Statements on one connection inside one transaction; PostgreSQL has `patience_s` to answer each."""

    def __init__(
        self, connection: Connection, rendered: "Rendered", bound: Mapping[str, object], patience_s: float
    ) -> None:
        self._connection = connection
        self._rendered = rendered
        self._bound = bound
        self._patience_s = patience_s

    @property
    def names(self) -> Names:
        """The names and the dimension of this database's tables."""
        return self._rendered.names

    async def all(self, statement: Statement[Row], **params: object) -> list[Row]:
        """Return every row of `statement`."""
        return await fetched(await self._ask(statement, params), statement.rows)

    async def one(self, statement: Statement[Row], **params: object) -> Row | None:
        """Return the first row of `statement`, or None."""
        rows = await self.all(statement, **params)
        return rows[0] if rows else None

    async def run(self, statement: Statement[None], **params: object) -> int:
        """Run a statement without rows and return how many rows it changed."""
        return (await self._execute(self._rendered[statement], params)).rowcount

    async def explain(self, statement: Statement[Row], **params: object) -> tuple[str, ...]:
        """Return PostgreSQL's plan of `statement`, as run, a line an entry."""
        query = b"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) " + self._rendered[statement]
        cursor = await self._execute(query, params)
        return tuple(str(line) for (line,) in await cursor.fetchall())

    async def _ask(self, statement: Statement[Row], params: Mapping[str, object]) -> AsyncCursor[Row]:
        cursor = self._connection.cursor(binary=True, row_factory=statement.rows)
        asking = cursor.execute(self._rendered[statement], {**params, **self._bound})
        return await answered(asking, self._patience_s)

    async def _execute(self, query: bytes, params: Mapping[str, object]) -> AsyncCursor[tuple[object, ...]]:
        return await answered(self._connection.execute(query, {**params, **self._bound}), self._patience_s)


class TenantTx(Transaction):
    """A transaction that works as the tenants' role and sees one tenant.

    `tenant` is bound here, after the caller's parameters, so no caller can bind another.
    """

    def __init__(self, connection: Connection, rendered: "Rendered", scope: Scope, patience_s: float) -> None:
        super().__init__(connection, rendered, {"tenant": scope.tenant}, patience_s)
        self.scope = scope


class RegistryTx(Transaction):
    """A transaction as the login role, on the operator's tables; it names no tenant, and so sees no tenant's row."""


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

    `conninfo` holds libpq's keywords, and under "conninfo" a whole connection string if there is one. `check_facts` is
    asked at first, and whenever the vectors were exchanged, whether this process may work on what is recorded.
    """

    def __init__(
        self,
        conninfo: Mapping[str, str],
        names: Names,
        limits: PoolLimits = PoolLimits(),
        statement_timeout_ms: int = 10_000,
        *,
        behind_pooler: bool = True,
        check_facts: CheckFacts | None = None,
    ) -> None:
        self.names = names
        self._check_facts = check_facts
        self._conninfo = conninfo
        self._rendered = Rendered(names)
        self._settings = session_settings(statement_timeout_ms)
        self._behind_pooler = behind_pooler
        self._openings = Openings.nothing()
        # Statements have a time limit in PostgreSQL; this one is for a PostgreSQL that does not answer at all.
        self._patience_s = statement_timeout_ms / 1000 + _GRACE_S
        # A transaction pooler hands each transaction another session, so nothing may be prepared there.
        self._round_trips = RoundTrips(prepare=not behind_pooler)
        self._pulse = Pulse(conninfo)
        self._pool = Pool(conninfo, limits, prepare=not behind_pooler, configure=self._configure)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, patience_s: float = 30) -> None:
        """Connect, and learn where the extension's operators live.

        Raises DatabaseUnavailable, and ConfigurationError for a connection string that cannot be read and for facts
        that `check_facts` refuses.
        """
        refuse_unreadable(self._conninfo)  # the pool would try again and again, and log it with its password
        try:
            await self._open(patience_s)
        except PoolTimeout as error:
            raise await why_so_few(self._conninfo) from error
        except psycopg.Error as error:
            raise unreachable(self._conninfo, error) from error

    async def _open(self, patience_s: float) -> None:
        try:
            await self._pool.open(wait=True, timeout=patience_s)
            await self._learn()
        except BaseException:  # a cancellation too would leave the pool's workers running
            await self._pool.close()
            raise

    async def _learn(self) -> None:
        async with self._pool.connection() as connection:
            proof = await prove(connection, self.names, self._check_facts) if self._check_facts else ""
            local = self._settings if self._behind_pooler else {}
            self._openings = await openings(connection, self.names, local, proof)

    async def close(self) -> None:
        """Close every connection."""
        await self._pulse.close()
        await self._pool.close()

    async def ping(self) -> None:
        """Return when PostgreSQL answers; raises DatabaseUnavailable.

        A request's own way is tried, which shows that requests get through. While all connections are at work they do,
        and PostgreSQL is asked beside them: a server under full load is ready, and says so without waiting its turn.
        """
        if not self._pool.must_wait:
            with suppress(Overloaded):  # requests may have taken all of them meanwhile
                async with self.registry() as tx:
                    await tx.one(_PING)
                return
        await self._pulse.feel()

    @asynccontextmanager
    async def tenant(
        self, scope: Scope, *, read_only: bool = False, planned_once: bool = False
    ) -> AsyncIterator[TenantTx]:
        """Open a transaction that can only see and change `scope.tenant`; commit at the end, roll back on error.

        The role, the tenant and the limits are set in one round trip and are gone with the transaction, so it is
        safe behind a transaction pooler. All statements of a `read_only` one see the same rows. `planned_once`
        (read-only) uses generic plans: only for statements without `%(x)s IS NULL OR …`, whose best plan depends on the
        values.
        """
        reading = self._openings.reading_as_planned if planned_once else self._openings.reading
        opening = reading if read_only else self._openings.writing
        async with self._transaction(opening, scope.tenant) as connection:
            yield TenantTx(connection, self._rendered, scope, self._patience_s)

    async def read(self, scope: Scope, call: Call[Row]) -> list[Row]:
        """Run one statement that reads as `scope.tenant`, planned once, in one round trip; return its rows."""
        return await self._run_alone(scope, self._openings.reading_at_once, lambda: call)

    async def read_at_once(
        self, scope: Scope, first: Call[Row], second: Call[OtherRow]
    ) -> tuple[list[Row], list[OtherRow]]:
        """Run two statements that read as `scope.tenant`, planned once, and return the rows of each.

        They make one round trip and one transaction, with the same role, tenant and limits as any other.
        """

        async def ask(connection: Connection) -> tuple[list[Row], list[OtherRow]]:
            one, other = await self._sent(connection, self._openings.reading_at_once, scope, first, second)
            return one.rows(first.statement.rows), other.rows(second.statement.rows)

        return await self._at_once(ask)

    async def write_at_once(self, scope: Scope, call: Call[Row]) -> list[Row]:
        """Run one statement that writes as `scope.tenant`, and commit it, in one round trip; return its rows.

        Where the session ends before the answer it is run again, with true for the parameter `again`: the first run may
        have been done, or not.
        """
        runs = count()
        return await self._run_alone(
            scope,
            self._openings.writing_at_once,
            lambda: replace(call, params={**call.params, "again": next(runs) > 0}),
        )

    async def _run_alone(self, scope: Scope, opening: bytes, a_run: Callable[[], Call[Row]]) -> list[Row]:
        async def ask(connection: Connection) -> list[Row]:
            call = a_run()
            (answer,) = await self._sent(connection, opening, scope, call)
            return answer.rows(call.statement.rows)

        return await self._at_once(ask)

    async def _at_once(self, ask: Callable[[Connection], Awaitable[Result]]) -> Result:
        with translated():
            connection, result = await self._begun(ask)
            await self._pool.give_back(connection)
            return result

    async def _sent(self, connection: Connection, opening: bytes, scope: Scope, *calls: Call[Any]) -> list[Answer]:
        tenant = {"tenant": scope.tenant}
        statements = [Sent(self._rendered[call.statement], {**call.params, **tenant}) for call in calls]
        running = self._round_trips.run(connection, [Sent(opening, tenant), *statements])
        _, *answers = await answered(running, self._patience_s)
        return answers

    @asynccontextmanager
    async def registry(self) -> AsyncIterator[RegistryTx]:
        """Open a transaction on the operator's tables, as the login role."""
        async with self._transaction(self._openings.registry, None) as connection:
            yield RegistryTx(connection, self._rendered, {}, self._patience_s)

    @asynccontextmanager
    async def _transaction(self, opening: bytes, tenant: str | None) -> AsyncIterator[Connection]:
        with translated():
            connection, _ = await self._begun(
                lambda one: answered(one.execute(_begin(one, opening, tenant), prepare=False), self._patience_s)
            )
            try:
                yield connection
                await answered(connection.execute("COMMIT", prepare=False), self._patience_s)
            finally:
                await self._pool.give_back(connection)

    async def _begun(self, work: Callable[[Connection], Awaitable[Result]]) -> tuple[Connection, Result]:
        try:
            return await self._pool.begin(work)
        except errors.UndefinedObject as error:
            if not is_of_proof(error):
                raise
            raise await exchanged(self._learn) from error

    async def _configure(self, connection: Connection) -> None:
        await register_types(connection)
        if not self._behind_pooler:
            pairs = [f"SET {name} = {value}" for name, value in self._settings.items()]
            await connection.execute("; ".join(pairs).encode(), prepare=False)


def _begin(connection: Connection, opening: bytes, tenant: str | None) -> bytes:
    return opening if tenant is None else opening + literal(connection, tenant)
