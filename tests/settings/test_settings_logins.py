"""The logins that the composition root makes connections from."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from openmemory.settings import Login, load

PARTS = {"OM_PG_HOST": "db", "OM_PG_USER": "om", "OM_PG_PASSWORD": "hush"}


def parameters(login: Login) -> dict[str, object]:
    """Return what libpq would connect with."""
    return dict(conninfo_to_dict(login.dsn, **login.keywords))


def test_without_a_server_of_ones_own_the_embedded_one_is_used() -> None:
    database = load(environ={}).database

    assert database.embedded
    with pytest.raises(ValueError, match="makes its own logins"):
        _ = database.owner_login


@pytest.mark.parametrize("environ", [{"OM_PG_HOST": "db"}, {"OM_PG_DSN": "postgresql://db/x"}])
def test_a_server_of_ones_own_is_used_instead_of_the_embedded_one(environ: dict[str, str]) -> None:
    assert not load(environ=environ).database.embedded


def test_the_owner_logs_in_by_the_parts() -> None:
    database = load(environ={**PARTS, "OM_PG_PORT": "6543", "OM_PG_DB": "mem", "OM_PG_SSL": "verify-full"}).database

    assert parameters(database.owner_login) == {
        "host": "db",
        "port": "6543",
        "dbname": "mem",
        "user": "om",
        "password": "hush",
        "sslmode": "verify-full",
        "connect_timeout": "2",
    }


def test_what_is_not_set_is_left_to_libpq() -> None:
    keywords = load(environ={"OM_PG_HOST": "/run/postgresql"}).database.owner_login.keywords

    assert keywords.keys() == {"host", "port", "dbname", "connect_timeout"}


def test_the_owner_logs_in_by_the_connection_string() -> None:
    database = load(environ={"OM_PG_DSN": "postgresql://om:hush@a,b:6543/mem?connect_timeout=9"}).database

    assert parameters(database.owner_login) == {
        "host": "a,b",
        "port": ",6543",
        "user": "om",
        "password": "hush",
        "dbname": "mem",
        "connect_timeout": "9",
    }


def test_encryption_is_demanded_of_a_connection_string_too() -> None:
    database = load(environ={"OM_PG_DSN": "host=db sslmode=prefer", "OM_PG_SSL": "require"}).database

    assert parameters(database.owner_login)["sslmode"] == "require"


@pytest.mark.parametrize("way", [PARTS, {"OM_PG_DSN": "postgresql://om:hush@db/openmemory"}])
def test_the_application_logs_in_as_its_own_user(way: dict[str, str]) -> None:
    database = load(environ={**way, "OM_PG_APP_USER": "app", "OM_PG_APP_PASSWORD": "quiet"}).database

    found = parameters(database.app_login)
    assert (found["host"], found["dbname"]) == ("db", "openmemory")
    assert (found["user"], found["password"]) == ("app", "quiet")


@pytest.mark.parametrize("way", [PARTS, {"OM_PG_DSN": "postgresql://om:hush@db/openmemory"}])
def test_the_application_never_inherits_the_owners_password(way: dict[str, str]) -> None:
    database = load(environ={**way, "OM_PG_APP_USER": "app"}).database

    assert parameters(database.app_login)["password"] == ""


def test_without_an_application_user_the_owner_serves() -> None:
    database = load(environ=PARTS).database

    assert database.app_login == database.owner_login


def test_the_direct_way_is_the_owners_unless_it_is_said() -> None:
    database = load(environ=PARTS).database
    direct = load(environ={**PARTS, "OM_PG_DIRECT_DSN": "postgresql://om:hush@primary/x"}).database

    assert database.direct_login == database.owner_login
    assert parameters(direct.direct_login)["host"] == "primary"
