"""Transactions that are one round trip: all or nothing, and what happens to the connection."""

import gc
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import PipelineStatus, TransactionStatus

from openmemory.postgres.openings import Connection
from openmemory.postgres.round_trip import Answer, RoundTrips, Sent
from openmemory.postgres.rows import rows_of
from tests.postgres.databases import Place


@dataclass(frozen=True)
class Kept:
    """A row of the table."""

    number: int
    word: str


ROWS = rows_of(Kept)
ADD = b"INSERT INTO kept VALUES (%(number)s, %(word)s) RETURNING number, word"
READ = b"SELECT number, word FROM kept WHERE word LIKE '%%' || %(word)s ORDER BY number"


@pytest.fixture
async def connection(place: Place) -> AsyncIterator[Connection]:
    """Yield a connection to a database with a table."""
    async with await psycopg.AsyncConnection.connect(autocommit=True, **place.logins.owner) as made:  # type: ignore[arg-type]  # all text
        await made.execute("CREATE TABLE kept (number int PRIMARY KEY, word text)")
        yield made


@pytest.fixture(params=[True, False], ids=["prepared", "unprepared"])
def trips(request: pytest.FixtureRequest) -> RoundTrips:
    """Return what runs them, as without and as behind a transaction pooler."""
    return RoundTrips(prepare=request.param)


async def run(trips: RoundTrips, connection: Connection, *sent: tuple[bytes, Mapping[str, object]]) -> list[Answer]:
    return await trips.run(connection, [Sent(query, params) for query, params in sent])


async def test_each_statement_sees_what_those_before_it_did(trips: RoundTrips, connection: Connection) -> None:
    for number in (1, 2):
        added, read = await run(
            trips, connection, (ADD, {"number": number, "word": "a%b"}), (READ, {"word": "b", "not_used": 1})
        )

        assert added.rows(ROWS) == [Kept(number, "a%b")]
        assert [one.number for one in read.rows(ROWS)] == list(range(1, number + 1))


async def test_an_error_undoes_all_and_leaves_a_connection_that_works(
    trips: RoundTrips, connection: Connection
) -> None:
    twice = (ADD, {"number": 1, "word": "one"})

    with pytest.raises(errors.UniqueViolation):
        await run(trips, connection, (ADD, {"number": 2, "word": "two"}), twice, twice)

    assert connection.pgconn.pipeline_status == PipelineStatus.OFF
    assert connection.pgconn.transaction_status == TransactionStatus.IDLE
    (read,) = await run(trips, connection, (READ, {"word": ""}))
    assert read.rows(ROWS) == []


async def test_a_value_that_cannot_be_sent_leaves_a_connection_that_works(
    trips: RoundTrips, connection: Connection
) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="cannot adapt"):
        await run(trips, connection, (ADD, {"number": 1, "word": "one"}), (READ, {"word": object()}))

    assert connection.pgconn.pipeline_status == PipelineStatus.OFF
    (read,) = await run(trips, connection, (READ, {"word": ""}))
    assert read.rows(ROWS) == []


async def test_a_statement_that_cannot_be_prepared_is_told(trips: RoundTrips, connection: Connection) -> None:
    with pytest.raises(errors.UndefinedTable):
        await run(trips, connection, (b"SELECT %(one)s FROM nowhere", {"one": 1}), (READ, {"word": ""}))

    (read,) = await run(trips, connection, (READ, {"word": ""}))
    assert read.rows(ROWS) == []


async def test_what_was_prepared_for_another_table_is_prepared_again(trips: RoundTrips, connection: Connection) -> None:
    everything = b"SELECT * FROM kept WHERE number >= %(least)s"
    await run(trips, connection, (ADD, {"number": 1, "word": "one"}), (everything, {"least": 0}))
    await connection.execute("ALTER TABLE kept ALTER number TYPE bigint", prepare=False)

    (read,) = await run(trips, connection, (everything, {"least": 0}))

    assert read.rows(ROWS) == [Kept(1, "one")]


async def test_what_the_session_forgot_is_prepared_again(trips: RoundTrips, connection: Connection) -> None:
    await run(trips, connection, (ADD, {"number": 1, "word": "one"}))
    await connection.execute("DEALLOCATE ALL", prepare=False)

    added, read = await run(trips, connection, (ADD, {"number": 2, "word": "two"}), (READ, {"word": ""}))

    assert added.rows(ROWS) == [Kept(2, "two")]
    assert read.rows(ROWS) == [Kept(1, "one"), Kept(2, "two")]


async def test_what_psycopg_forgets_after_a_rollback_is_prepared_again(
    trips: RoundTrips, connection: Connection
) -> None:
    await run(trips, connection, (READ, {"word": ""}))
    await connection.execute("SELECT 1 AS prepared", prepare=True)
    for statement in (b"BEGIN", b"ROLLBACK", b"SELECT 2 AS next"):
        await connection.execute(statement)

    (read,) = await run(trips, connection, (READ, {"word": ""}))

    assert read.rows(ROWS) == []


async def test_what_postgres_does_not_offer_is_told(trips: RoundTrips, connection: Connection) -> None:
    with pytest.raises(errors.FeatureNotSupported):
        await run(trips, connection, (b"SELECT number FROM kept GROUP BY number FOR UPDATE", {}))


async def test_a_session_that_is_ended_breaks_the_connection(
    trips: RoundTrips, connection: Connection, place: Place
) -> None:
    with place.owner() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])

    with pytest.raises(psycopg.OperationalError):
        await run(trips, connection, (READ, {"word": ""}), (READ, {"word": ""}))

    assert connection.broken


async def test_more_than_a_socket_holds_goes_through(trips: RoundTrips, connection: Connection) -> None:
    word = "x" * 20_000_000

    added, read = await run(trips, connection, (ADD, {"number": 1, "word": word}), (READ, {"word": "x"}))

    assert added.rows(ROWS) == read.rows(ROWS) == [Kept(1, word)]


async def test_a_connection_that_is_given_up_is_forgotten(trips: RoundTrips, place: Place) -> None:
    connection = await psycopg.AsyncConnection.connect(autocommit=True, **place.logins.owner)  # type: ignore[arg-type]  # all text
    await run(trips, connection, (b"SELECT %(one)s::int AS number", {"one": 1}))
    await connection.close()
    known = weakref.ref(connection)

    del connection
    gc.collect()

    assert known() is None
