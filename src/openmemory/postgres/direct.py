"""A connection of its own, beside the pool: for migrations, locks and checks at start.

Migrations and the locks of a session need a login that goes past any pooler. A check, and a turn, also work behind one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from time import sleep
from typing import LiteralString

import psycopg
import structlog
from psycopg import Connection, IsolationLevel, errors, sql

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.failures import first_line, is_cut
from openmemory.postgres.hindrances import hindrances_told
from openmemory.postgres.locks import Lock, holder_of, waiting_for
from openmemory.postgres.unreachable import refuse_unreadable, unreachable, unreadable

log = structlog.get_logger()

EXTENSION_SCHEMA: LiteralString = (
    "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'vector'"
)
# PostgreSQL would send texts in the database's encoding, or in the one that PGCLIENTENCODING names.
AS_UTF8 = {"client_encoding": "UTF8"}
OURS = "openmemory-direct"
"""What these sessions are called in PostgreSQL's list, where the owner's settings give them no name."""
# What a hosted platform limits for every session of a role would end work of hours; and a session whose client is gone
# would hold its locks for as long as its statement takes, or for the two hours after which TCP asks by itself.
# Those that this version of PostgreSQL has: transaction_timeout is new in 17. And where a database or a role has fewer
# digits written, JSON would be made of rounded numbers. The parameter: whether it ends with the transaction.
_PATIENT: LiteralString = (
    "SELECT set_config(name, CASE name WHEN 'jit' THEN 'off' WHEN 'tcp_keepalives_idle' THEN '60'"
    " WHEN 'tcp_keepalives_interval' THEN '10' WHEN 'tcp_keepalives_count' THEN '6'"
    " WHEN 'extra_float_digits' THEN '1' ELSE '0' END, %s)"
    " FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout',"
    " 'idle_session_timeout', 'transaction_timeout', 'jit', 'tcp_keepalives_idle', 'tcp_keepalives_interval',"
    " 'tcp_keepalives_count', 'extra_float_digits')"
)
# What a database or a role may have set, and what our statements and psycopg would then read otherwise.
_PLAIN: LiteralString = (
    "SELECT set_config(name, setting, false)"
    " FROM (VALUES ('standard_conforming_strings', 'on'), ('quote_all_identifiers', 'off'), ('array_nulls', 'on'),"
    " ('transform_null_equals', 'off'), ('DateStyle', 'ISO'), ('IntervalStyle', 'postgres'), ('bytea_output', 'hex'),"
    " ('TimeZone', 'UTC'))"
    " AS plain (name, setting)"
)
_NOTICE_GONE: LiteralString = "SET client_connection_check_interval = '1s'"
_ASK_AGAIN_S = 0.1


@contextmanager
def connected(conninfo: Mapping[str, str]) -> Iterator[Connection]:
    """Open one connection in autocommit mode.

    Raises DatabaseUnavailable where there is none to be had and where it is lost, and ConfigurationError where a
    connection string cannot be read, or the server's settings keep the login from writing; none shows the password.
    """
    refuse_unreadable(conninfo)  # before a part of a password is looked up as a host's name
    try:
        connection = psycopg.connect(autocommit=True, **{"fallback_application_name": OURS, **conninfo, **AS_UTF8})  # type: ignore[arg-type]  # all text
    except psycopg.OperationalError as error:
        raise unreachable(conninfo, error) from error
    except psycopg.ProgrammingError as error:
        raise unreadable(conninfo, error) from None
    try:
        with connection, hindrances_told(connection):
            _refuse_without_encoding(connection)
            connection.execute(_PLAIN)
            yield connection
    except psycopg.Error as error:
        if not is_cut(error):
            raise
        raise DatabaseUnavailable(f"the connection was lost: {first_line(error)}") from error


@contextmanager
def patient(conninfo: Mapping[str, str]) -> Iterator[Connection]:
    """Open one connection as `connected` does, whose statements may take as long as they need.

    They end soon after their client does.
    """
    with connected(conninfo) as connection:
        connection.execute(_PATIENT, [False])
        with suppress(errors.InvalidParameterValue):  # a server on Windows cannot look
            connection.execute(_NOTICE_GONE)
        yield connection


def _refuse_without_encoding(connection: Connection) -> None:
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        name = connection.info.dbname
        raise ConfigurationError(
            f"the database {name} has the encoding SQL_ASCII, which is none: nobody knows what its texts say. Bring it"
            " into one of UTF8: createdb --encoding=UTF8 --template=template0 NEW;"
            f" PGCLIENTENCODING=UTF8 pg_dump {name} | psql NEW"
        )


@contextmanager
def holding(
    connection: Connection, lock: Lock = Lock.SCHEMA, on_event: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Wait for a lock of this database, and have it for a transaction of `connection`: who loses one loses both.

    Who waits says so, to `on_event` and in the log. The lock is a transaction's: behind a pooler the session outlives
    its client, and a lock of it would too. Between two tries there is no transaction: those who wait would else take
    all of a pooler's sessions, and leave none to the one whom they wait for.
    """
    connection.isolation_level = IsolationLevel.READ_COMMITTED  # an idle one of these holds up no vacuum
    connection.prepare_threshold = None  # a pooler's next session would not know what was prepared
    told_of: int | None = 0
    while True:
        with connection.transaction():
            if _takes(connection, lock):
                yield
                return
            holder = holder_of(connection, lock)
        if (pid := holder.pid if holder else None) != told_of:
            told_of, waiting = pid, waiting_for(lock, holder)
            log.warning("database.waiting", reason=waiting)
            on_event(waiting)
        sleep(_ASK_AGAIN_S)


@contextmanager
def in_turn(
    conninfo: Mapping[str, str], on_event: Callable[[str], None] = lambda _: None, lock: Lock = Lock.START
) -> Iterator[Callable[[], None]]:
    """Wait for whoever brings this database up, and have the others wait: what is half made is never read.

    The lock is held as `holding` does, on a connection beside those that work, which somebody may end: what is yielded
    raises DatabaseUnavailable then. Where the work is done the loss is logged, and no error.
    """
    is_done = False
    with connected(conninfo) as connection:
        try:
            with holding(connection, lock, on_event):
                yield lambda: _ensure_held(connection)
                is_done = True
        except psycopg.Error as error:
            if not (is_done and is_cut(error)):
                raise
            log.warning("database.lock_lost", lock=lock.name, reason=first_line(error))


def alone(conninfo: Mapping[str, str]) -> AbstractContextManager[Callable[[], None]]:
    """Have this database changed by one process at a time in more than one transaction; see `in_turn`."""
    return in_turn(conninfo, lock=Lock.SCHEMA)


def _ensure_held(connection: Connection) -> None:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"the session that kept other processes from the database was ended meanwhile ({first_line(error)}); what"
            " was not committed is undone. Run this again"
        ) from error


def _takes(connection: Connection, lock: Lock) -> bool:
    connection.execute(_PATIENT, [True])
    # Without parameters: with them the statement's portal keeps its snapshot as long as the transaction lasts, and
    # CREATE INDEX CONCURRENTLY waits for that.
    return connection.execute(f"SELECT pg_try_advisory_xact_lock({lock:d})".encode()).fetchone() == (True,)


@contextmanager
def permitted() -> Iterator[None]:
    """Turn a missing right of the login into the way to give it."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"the login lacks a right: {first_line(error)}. Run `openmemory migrate` as the owner of the tables, with"
            " OM_PG_APP_USER set to this login"
        ) from error


def extension_schema(connection: Connection) -> str | None:
    """Return the schema that pgvector's types and operators are in, or None if it is not installed here."""
    found = connection.execute(EXTENSION_SCHEMA).fetchone()
    return None if found is None else str(found[0])


def find_types(connection: Connection, schema: str) -> None:
    """Have the session see the tables of `schema`, and pgvector's types and operators, in whichever schema they are."""
    schemas = [schema, *filter(None, [extension_schema(connection)])]
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas))))
