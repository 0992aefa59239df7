"""A connection past any pooler."""

import pytest
from psycopg.conninfo import make_conninfo

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.direct import connected
from tests.conftest import Server
from tests.postgres.databases import Place, a_name


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


def be_cut_off(place: Place) -> None:
    """Use a connection that another one ends."""
    with connected(place.logins.owner) as connection, connected(place.logins.owner) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")
