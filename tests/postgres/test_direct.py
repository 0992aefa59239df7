"""A connection of its own, beside the pool."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue
from threading import Thread

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres import migrate, roles
from openmemory.postgres.direct import connected, in_turn, patient
from openmemory.postgres.locks import Lock, the_only_one
from tests.cli.homes import PATIENCE_S, Home
from tests.conftest import Server
from tests.postgres.databases import Place, a_name
from tests.postgres.pooling import pooled


def test_a_connection_that_is_cut_is_told_as_what_it_is(place: Place) -> None:
    with pytest.raises(DatabaseUnavailable, match="the connection was lost: terminating connection"):
        be_cut_off(place)


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("hst=db password=hush", 'knows no "hst"'),
        ("postgresql://om:hush@db/x?sslmod=require", 'knows no "sslmod"'),
        ("postgresql://om:hush@[::1/x", "cannot read it"),
    ],
)
def test_a_connection_string_that_is_wrong_is_told_without_its_password(dsn: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"OM_PG_DSN.*{said}") as refused, connected({"conninfo": dsn}):
        pass

    assert "hush" not in str(refused.value)


def test_a_database_whose_texts_have_no_encoding_is_refused(postgres: Server) -> None:
    name = a_name("om_ascii")
    with connected(postgres.owner) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0".encode()
        )
        conninfo = make_conninfo(postgres.owner["conninfo"], dbname=name)
        try:
            with pytest.raises(ConfigurationError, match=r"SQL_ASCII.*UTF8"), connected({"conninfo": conninfo}):
                pass
        finally:
            connection.execute(f"DROP DATABASE {name}".encode())


def test_the_lock_of_a_patient_session_is_free_soon_after_its_client_is_gone_in_a_statement(place: Place) -> None:
    with psycopg.connect(**place.logins.owner, autocommit=True) as next_one:  # type: ignore[arg-type]  # all text
        with suppress(DatabaseUnavailable), patient(place.logins.owner) as working:
            working.execute("SELECT pg_advisory_lock(1)")
            working.pgconn.send_query(b"SELECT pg_sleep(3600)")
            working.pgconn.finish()

        next_one.execute(f"SET lock_timeout = '{PATIENCE_S}s'".encode())
        next_one.execute("SELECT pg_advisory_lock(1)")


def test_a_turn_leaves_no_lock_on_a_session_that_a_pooler_keeps(place: Place, tmp_path: Path) -> None:
    with pooled(place.logins.owner, tmp_path) as conninfo, connected(place.logins.owner) as watching:
        with in_turn(conninfo):
            assert held_locks(watching) == 1

        assert held_locks(watching) == 0


def test_whoever_waits_for_a_turn_says_so_and_gets_it_however_hasty_the_role_is(place: Place) -> None:
    hasty = {**place.logins.owner, "options": "-c lock_timeout=1"}
    said: Queue[str] = Queue()
    done: Queue[bool] = Queue()

    def take_a_turn() -> None:
        with in_turn(hasty, said.put):
            done.put(True)

    with connected(place.logins.owner) as other, in_turn(place.logins.owner, said.put):
        waiting = Thread(target=take_a_turn)
        waiting.start()
        assert said.get(timeout=PATIENCE_S).startswith("waiting for another start")
        other.execute("SELECT pg_sleep(0.1)")
        assert done.empty()

    assert done.get(timeout=PATIENCE_S)
    waiting.join()


@pytest.mark.parametrize("lock", [Lock.START, Lock.SCHEMA], ids=lambda lock: lock.name)
def test_whoever_waits_names_the_holder_and_leaves_a_pooler_its_sessions_and_no_lock(
    place: Place, tmp_path: Path, lock: Lock
) -> None:
    states: list[tuple[object, ...]] = []

    def look_and_leave(said: str) -> None:
        assert f": pid {holder.info.backend_pid} (" in said
        assert f"pg_terminate_backend({holder.info.backend_pid})" in said
        states.extend(holder.execute("SELECT state FROM pg_stat_activity WHERE application_name = 'waiter'"))
        raise InterruptedError

    with pooled({**place.logins.owner, "application_name": "waiter"}, tmp_path) as conninfo:
        with connected(place.logins.owner) as holder, the_only_one(holder, lock):
            with pytest.raises(InterruptedError), in_turn(conninfo, look_and_leave, lock):
                pass
            assert states == [("idle",)]
        with connected(place.logins.owner) as watching:
            assert held_locks(watching) == 0


def test_migrations_behind_a_pooler_leave_no_lock_on_a_session_that_it_keeps(place: Place, tmp_path: Path) -> None:
    roles.prepare_app_role(place.logins.owner, place.names)
    held: list[int] = []

    with pooled(place.logins.owner, tmp_path) as conninfo, connected(place.logins.owner) as watching:

        def give_up(_: migrate.Migration) -> None:
            held.append(held_locks(watching))
            raise InterruptedError

        with pytest.raises(InterruptedError):
            migrate.migrate(conninfo, place.names, give_up)

        assert held == [1]
        assert held_locks(watching) == 0


def test_a_migrate_that_waits_says_for_whom(place: Place, tmp_path: Path) -> None:
    home = Home(tmp_path, {"OM_PG_DSN": make_conninfo("", **place.logins.owner), "OM_EMBEDDINGS": "hash"})
    with (
        connected(place.logins.owner) as holder,
        the_only_one(holder, Lock.SCHEMA),
        ThreadPoolExecutor(1) as threads,
        home.started("migrate", "--yes") as waiting,
    ):
        assert waiting.stderr is not None
        said = threads.submit(waiting.stderr.readline).result(PATIENCE_S)
        pid = holder.info.backend_pid

    assert b"waiting for another process" in said
    assert f"pid {pid} ".encode() in said


def held_locks(connection: psycopg.Connection) -> int:
    """Return how many advisory locks are held in the database of a connection."""
    found = connection.execute(
        "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted"
    )
    return found.rowcount


def be_cut_off(place: Place) -> None:
    """Use a connection that another one ends."""
    with connected(place.logins.owner) as connection, connected(place.logins.owner) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")
