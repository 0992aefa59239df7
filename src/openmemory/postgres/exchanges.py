"""Notice that the vectors were exchanged under a server: those of another model cannot be compared with its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from psycopg import errors, sql

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.openings import Connection
from openmemory.postgres.statements import Names, statement

CheckFacts = Callable[[Mapping[str, str]], None]
"""Raises ConfigurationError where the facts that a database records are none to serve on."""

# No session has it, so that to ask for it fails, in words that nothing else fails with.
_NOBODYS = "openmemory.other_vectors"


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    value: str


_META = statement("registry.meta", _Fact)


async def prove(connection: Connection, names: Names, check: CheckFacts) -> str:
    """Return an expression that fails once there is another table of vectors; raises what `check` raises of this one.

    Every transaction opens with it, so an exchange is noticed without a round trip of its own.
    """
    table = sql.Literal(names.table(names.vectors)).as_string(connection)
    # The table before the facts: where they are exchanged in between, the expression fails at its first use.
    row = await (await connection.execute(f"SELECT to_regclass({table})::oid".encode(), prepare=False)).fetchone()
    cursor = connection.cursor(row_factory=_META.rows)
    facts = await (await cursor.execute(names.render(_META.template).encode(), prepare=False)).fetchall()
    check({fact.name: fact.value for fact in facts})
    is_there = f"to_regclass({table})::oid = {row[0] if row and row[0] else 'NULL'}"
    return f"CASE WHEN {is_there} THEN '' ELSE current_setting('{_NOBODYS}') END"


def is_of_proof(error: Exception) -> bool:
    """Return whether the expression of `prove` failed."""
    return isinstance(error, errors.UndefinedObject) and _NOBODYS in str(error)


async def exchanged(learn: Callable[[], Awaitable[None]]) -> DatabaseUnavailable:
    """Return what a request is told whose vectors are others than the server began with, once it has learnt of them."""
    try:
        await learn()
    except ConfigurationError as refused:
        return DatabaseUnavailable(
            f"the vectors were exchanged under this server. {refused.detail}. Then start it again"
        )
    return DatabaseUnavailable("the vectors were exchanged a moment ago; try again")
