"""How tenants' transactions open: the role, the tenant and the limits, which are gone with the transaction."""

from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.pq import Escaping

from openmemory.errors import ConfigurationError
from openmemory.postgres.direct import EXTENSION_SCHEMA
from openmemory.postgres.statements import Names

Connection = AsyncConnection[tuple[object, ...]]

# All statements see the same rows: how many there are, and then the rows themselves.
_BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# What is read depends on which parameters are null, and so do good plans. Not so for writes, where each foreign key's
# check would be planned anew for every row.
# Rows come in the order of the tenant index; on a small table a sort would seem cheaper.
_READING = {"enable_sort": "off", "plan_cache_mode": "force_custom_plan"}
_READING_AS_PLANNED = {"enable_sort": "off", "plan_cache_mode": "force_generic_plan"}


@dataclass(frozen=True, slots=True)
class Openings:
    """What opens a tenant's transaction, all but the tenant: for writing, for reading, for reading as planned once.

    Those `at_once` are statements with the parameter `tenant`, for a transaction that ends with the round trip.
    `registry` opens one that names no tenant.
    """

    registry: bytes
    writing: bytes
    reading: bytes
    reading_as_planned: bytes
    reading_at_once: bytes
    writing_at_once: bytes

    @classmethod
    def nothing(cls) -> "Openings":
        """Return what is there before there is a connection."""
        return cls(b"", b"", b"", b"", b"", b"")


def session_settings(timeout_ms: int) -> dict[str, str]:
    """Return what holds in every transaction.

    Every statement reaches its rows through an index that begins with the tenant. On small or freshly filled tables
    the planner would rather read the whole table, other tenants' rows too, so it may not.
    """
    return {
        "statement_timeout": str(timeout_ms),
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "jit": "off",
        # Where it is off, PostgreSQL refuses a query of rows that a policy hides.
        "row_security": "on",
    }


async def openings(connection: Connection, names: Names, settings: dict[str, str], proof: str = "") -> Openings:
    """Return how tenants' transactions open; `settings` are set with them where they cannot belong to the session.

    `proof` is an expression that fails where nobody may work on these tables any more.
    """
    cursor = await connection.execute(EXTENSION_SCHEMA)
    found = await cursor.fetchone()
    if found is None:
        raise ConfigurationError("the extension vector is not in this database; run `openmemory migrate`")
    # Where nobody names it, the session's own schema of temporary tables is searched first.
    searched = (names.schema, str(found[0]), "pg_temp")
    schemas = ", ".join(sql.Identifier(name).as_string() for name in searched)
    local = {"search_path": schemas, **settings}
    proved = f"; SELECT {proof}" if proof else ""
    reading = f"{_BEGIN_READING}{proved}"
    return Openings(
        f"BEGIN{proved}; {_set_locally(settings)}".encode(),
        _string(f"BEGIN{proved}", names, local),
        _string(reading, names, {**local, **_READING}),
        _string(reading, names, {**local, **_READING_AS_PLANNED}),
        _statement(connection, names, {"transaction_read_only": "on", **local, **_READING_AS_PLANNED}, proof),
        _statement(connection, names, local, proof),
    )


def literal(connection: psycopg.AsyncConnection[tuple[object, ...]], text: str) -> bytes:
    """Return `text` quoted by libpq for this connection."""
    return Escaping(connection.pgconn).escape_literal(text.encode())


def _string(begin: str, names: Names, settings: dict[str, str]) -> bytes:
    role = sql.Identifier(names.app_role).as_string()
    return f"{begin}; SET LOCAL ROLE {role}; {_set_locally(settings)}SET LOCAL app.current_tenant = ".encode()


def _set_locally(settings: dict[str, str]) -> str:
    return "".join(f"SET LOCAL {name} = {value}; " for name, value in settings.items())


def _statement(connection: Connection, names: Names, settings: dict[str, str], proof: str) -> bytes:
    # A % would begin a parameter.
    own = {"role": names.app_role, **settings}
    pairs = [(name, literal(connection, value).decode().replace("%", "%%")) for name, value in own.items()]
    calls = "".join(f"set_config('{name}', {value}, true), " for name, value in pairs)
    calls += f"{proof.replace('%', '%%')}, " if proof else ""
    return f"SELECT {calls}set_config('app.current_tenant', %(tenant)s, true)".encode()
