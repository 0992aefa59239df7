"""What the embedded server is told, and what reaches its log."""

from pathlib import Path

import psycopg
import pytest

from openmemory.postgres.embedded import start
from openmemory.postgres.embedded.configuration import configuration
from tests.postgres.embedded.processes import ask, remember


def test_the_servers_role_has_no_power(data: Path) -> None:
    with start(data) as server:
        powers = ask(
            server.server_dsn(),
            "SELECT rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication"
            " FROM pg_roles WHERE rolname = current_user",
        )

        assert powers is False
        assert ask(server.owner_dsn(), "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'openmemory'")


def test_a_wrong_password_is_refused_on_the_socket_too(data: Path) -> None:
    with start(data) as server, pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(server.owner_dsn(), password="guess")  # noqa: S106 (a wrong one)


def test_it_listens_on_the_socket_alone_and_always_syncs_whatever_the_files_say(data: Path) -> None:
    with open(data / "postgres" / "postgresql.conf", "a") as file:
        file.write("listen_addresses = '*'\nfsync = off\njit = on\n")

    with start(data) as server:
        assert ask(server.owner_dsn(), "SHOW listen_addresses") == ""
        assert ask(server.owner_dsn(), "SHOW fsync") == "on"
        assert ask(server.owner_dsn(), "SHOW jit") == "on"


def test_every_setting_is_one_that_postgresql_knows_and_takes_from_our_file(data: Path) -> None:
    with start(data) as server:
        written = configuration(server.socket_dir, data / "log").count(" = ")
        forced = ask(server.owner_dsn(), "SELECT count(*) FROM pg_settings WHERE source = 'command line'")
        taken = ask(server.owner_dsn(), "SELECT count(*) FROM pg_file_settings WHERE applied AND error IS NULL")

        assert forced == 3
        assert taken == written


def test_the_log_has_no_content_when_a_statement_fails(data: Path) -> None:
    with start(data) as server:
        remember(server, "secret-one")
        with pytest.raises(psycopg.errors.UniqueViolation):
            remember(server, "secret-one")
        with psycopg.connect(server.server_dsn()) as connection, pytest.raises(psycopg.DataError):
            connection.execute("SELECT 'secret-two'::int")

    log = "".join(file.read_text() for file in (data / "log").iterdir())
    assert "duplicate key" in log
    assert "secret" not in log
    assert "INSERT" not in log


def test_the_log_has_at_most_a_file_a_weekday_beside_that_of_the_start(data: Path) -> None:
    with start(data) as server:
        assert ask(server.owner_dsn(), "SHOW log_truncate_on_rotation") == "on"
        assert ask(server.owner_dsn(), "SHOW log_filename") == "postgres-%a.log"
        assert ask(server.server_dsn(), "SHOW log_min_messages") == "log"


def test_the_environments_pg_variables_have_no_say(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = dict.fromkeys(("PGHOST", "PGHOSTADDR"), "192.0.2.1")
    names = dict.fromkeys(("PGUSER", "PGDATABASE", "PGDATA", "PGSERVICE"), "x")
    demands = {"PGCHANNELBINDING": "require", "PGGSSENCMODE": "require", "PGTARGETSESSIONATTRS": "standby"}
    for name, value in {**addresses, **names, **demands, "PGPORT": "1"}.items():
        monkeypatch.setenv(name, value)

    with start(data) as server:
        assert ask(server.server_dsn(), "SHOW port") == "5432"
