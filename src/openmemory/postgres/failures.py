"""The driver's errors in the words of the domain; never PostgreSQL's DETAIL, which quotes values."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from openmemory.errors import DatabaseConflict, DatabaseUnavailable, Overloaded, Unprocessable

Answer = TypeVar("Answer")

_CUT = ("08", "57P")
_OF_A_POLICY = "row-level security"


class AllBusy(PoolTimeout):
    """Every connection of the pool was lent for as long as one was waited for."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises inside the block into DatabaseUnavailable, Overloaded or Unprocessable.

    A violated constraint passes through: the statement that can cause one knows what it means. So does a row that
    another tenant's policy refuses, and every other ProgrammingError: no caller's fault, and answered with 500.
    """
    try:
        yield
    except (errors.InsufficientPrivilege, errors.UndefinedTable) as error:
        if _OF_A_POLICY in first_line(error):
            raise
        raise DatabaseUnavailable(f"{first_line(error)}; `openmemory migrate` puts tables and rights right") from error
    except (errors.IntegrityError, errors.ProgrammingError):
        raise
    except errors.QueryCanceled as error:
        raise DatabaseUnavailable(
            "PostgreSQL gave up on a statement, which took too long or was cancelled there; ask for less, or try again"
        ) from error
    except (errors.DeadlockDetected, errors.SerializationFailure) as error:
        raise DatabaseConflict(f"PostgreSQL gave another transaction way: {first_line(error)}") from error
    except errors.DataError as error:
        # Its message quotes the value; the name of the condition does not.
        condition = f"{type(error).__name__} (SQLSTATE {error.sqlstate or 'none'})"
        raise Unprocessable(f"PostgreSQL refuses a value: {condition}") from error
    except AllBusy as error:
        raise Overloaded(str(error)) from error
    except (psycopg.Error, PoolTimeout) as error:
        raise DatabaseUnavailable(f"PostgreSQL is not available: {_reason(_first(error))}") from error


async def answered(round_trip: Awaitable[Answer], patience_s: float) -> Answer:
    """Return what PostgreSQL answers; raises DatabaseUnavailable where nothing has come after `patience_s`."""
    try:
        async with asyncio.timeout(patience_s):
            return await round_trip
    except TimeoutError as error:
        raise DatabaseUnavailable("PostgreSQL does not answer") from error


def is_cut(error: psycopg.Error) -> bool:
    """Return whether the session is gone; a refusal has a SQLSTATE of another class."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_CUT)


def _first(error: Exception) -> Exception:
    """Return what went wrong first: a pipeline that cannot be left for an error says so in its place."""
    before = error.__context__
    masked = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return before if masked and isinstance(before, psycopg.Error) else error


def _reason(error: Exception) -> str:
    """Return what PostgreSQL itself says, or our words: libpq and psycopg tell of their inner states."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return first_line(error)
    is_late = isinstance(error, PoolTimeout)
    return "no connection came about in time" if is_late else "the connection to it was lost"


def first_line(error: Exception) -> str:
    """Return the primary message of a driver's error, without the DETAIL and CONTEXT that may follow it."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return str(error).partition("\n")[0]
