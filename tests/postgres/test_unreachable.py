"""A database that cannot be reached is named in one line, with the setting to look at; the password never is."""

import re
import traceback
from pathlib import Path

import psycopg
import pytest

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.database import Database
from openmemory.postgres.direct import connected
from openmemory.postgres.embedded.cluster import OWNER, dsn
from openmemory.postgres.statements import Names
from openmemory.postgres.unreachable import is_full, unreachable
from tests.cli.homes import Home, a_port
from tests.postgres.outside import Outside, Site, a_site

SECRET = "its-password"  # noqa: S105 -- of a server that lives as long as the test


@pytest.fixture
def site(server: Outside) -> Site:
    """Return a database that is not migrated."""
    return a_site(server, "CREATEROLE")


def refused(home: Home, command: str = "migrate") -> str:
    """Return the one line that a command ends with."""
    ran = home.run(command)

    assert (ran.status, ran.out) == (1, ""), ran.out
    assert ran.err.count("\n") == 1, ran.err
    assert SECRET not in ran.err
    return ran.err


@pytest.mark.parametrize("command", ["serve", "migrate", "list", "stats"])
def test_where_nothing_listens_host_and_port_are_named(home: Home, command: str) -> None:
    port = a_port()
    nowhere = home.with_settings(
        OM_PORT=str(a_port()), OM_PG_HOST="127.0.0.1", OM_PG_PORT=str(port), OM_PG_USER="ada", OM_PG_PASSWORD=SECRET
    )

    said = nowhere.spawn(command).err

    assert f"127.0.0.1 port {port}, database openmemory, as ada: Connection refused. Nothing listens there" in said
    assert "OM_PG_HOST and OM_PG_PORT" in said
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_connection_string_is_named_where_it_led_there(home: Home) -> None:
    port = a_port()

    said = refused(home.with_settings(OM_PG_DSN=f"postgresql://ada:{SECRET}@127.0.0.1:{port}/notes"))

    assert f"127.0.0.1 port {port}, database notes, as ada: Connection refused" in said
    assert "correct OM_PG_DSN" in said


def test_a_host_that_is_not_known_is_named(home: Home) -> None:
    said = refused(home.with_settings(OM_PG_HOST="no-such-host.invalid", OM_PG_USER="ada"))

    assert "no-such-host.invalid" in said
    assert "correct OM_PG_HOST and OM_PG_PORT" in said


def test_a_folder_without_a_socket_is_named(home: Home) -> None:
    said = refused(home.with_settings(OM_PG_HOST="/nowhere", OM_PG_USER="ada"))

    assert "/nowhere port 5432" in said
    assert "No such file or directory. There is no PostgreSQL with its socket in that folder" in said


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_leads_to_its_setting(site: Site, home: Home, password: str) -> None:
    said = refused(site.home(home, with_login=False).with_settings(OM_PG_PASSWORD=password))

    assert f"database {site.database}, as {site.owner}" in said
    assert "Check OM_PG_USER and OM_PG_PASSWORD" in said


def test_a_role_that_is_not_there_leads_to_its_setting(site: Site, home: Home) -> None:
    assert "Check OM_PG_USER" in refused(site.home(home, with_login=False).with_settings(OM_PG_USER="nobody_known"))


def test_a_database_that_is_not_there_is_to_be_created(site: Site, home: Home) -> None:
    said = refused(site.home(home).with_settings(OM_PG_DB="no such one"))

    assert 'database "no such one" does not exist. Create the database (CREATE DATABASE "no such one")' in said
    assert "OM_PG_DB" in said


def test_a_server_that_is_full_leads_to_the_pool(site: Site, home: Home) -> None:
    site.run(f"ALTER ROLE {site.owner} CONNECTION LIMIT 0")

    said = refused(site.home(home, with_login=False))

    assert "too many connections for role" in said
    assert "OM_PG_POOL_MAX" in said


async def test_a_pool_that_gets_none_says_why(names: Names) -> None:
    database = Database({"host": "/nowhere", "user": "ada"}, names)

    with pytest.raises(DatabaseUnavailable, match=r"/nowhere port 5432.*no PostgreSQL with its socket"):
        await database.open(patience_s=0.1)


@pytest.mark.parametrize(
    ("conninfo", "said"),
    [
        (f"postgresql://ada:{SECRET}%zz@127.0.0.1/notes", "libpq cannot read it"),
        (f"host=127.0.0.1 password='{SECRET}", "libpq cannot read it"),
        (f"host=127.0.0.1 connect_timeout=soon password={SECRET}", "libpq cannot read it"),
        (f"postgresql://ada:{SECRET}@127.0.0.1/notes?colour=red", 'libpq knows no "colour"'),
    ],
)
async def test_a_connection_string_that_cannot_be_read_is_refused_and_not_shown(
    names: Names, conninfo: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await Database({"conninfo": conninfo}, names).open(patience_s=0.1)

    assert said in refused.value.detail
    assert SECRET not in "".join(traceback.format_exception(refused.value)) + caplog.text


@pytest.mark.parametrize(
    "password", ["pa/ss#w0rd", "p@s3c", "p@ss/w0rd", "12/34", "12/ss?w0rd=1", "p@s?w0rd=1", "p@s,w0rd", "12/p@ss/w0rd"]
)
async def test_a_password_that_splits_a_connection_string_is_to_be_encoded_and_no_part_of_it_is_shown(
    names: Names, home: Home, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    split = f"postgresql://om_owner:{password}@127.0.0.1:{a_port()}/notes"

    with pytest.raises(ConfigurationError) as refused_pool:
        await Database({"conninfo": split}, names).open(patience_s=0.1)
    with pytest.raises(ConfigurationError) as refused_alone, connected({"conninfo": split, "user": "bea"}):
        pass
    told = unreachable({"conninfo": split}, psycopg.OperationalError(f"failed to resolve host '{password}'")).detail
    said = refused(home.with_settings(OM_PG_DSN=split))

    shown = "".join(map(repr, (told, said, caplog.text, refused_pool.value.detail, refused_alone.value.detail)))
    assert shown.count("percent-encoded") == 4
    assert not [part for part in re.split(r"\W", password) if len(part) > 2 and part in shown]
    assert "om_owner" not in shown


@pytest.mark.parametrize(
    ("string", "shown"),
    [
        ("postgresql://ada%40site:p%40ss%2Fword@127.0.0.1:{port}/my%40notes", "database my@notes, as ada@site"),
        ("postgresql://ada:word@127.0.0.1:{port},127.0.0.1:{port}/notes", "127.0.0.1,127.0.0.1 port {port},{port}"),
        ("postgresql://ada:word@[::1]:{port}/notes", "::1 port {port}, database notes"),
        ("postgresql://ada:word@/notes?host=/nowhere&port={port}", "/nowhere port {port}, database notes"),
        ("host=127.0.0.1 port={port} dbname=my@notes/a user=ada password='p@s s/w'", "database my@notes/a, as ada"),
    ],
)
def test_a_connection_string_that_is_split_rightly_is_shown_whatever_its_names(string: str, shown: str) -> None:
    port = a_port()

    with pytest.raises(DatabaseUnavailable) as refused, connected({"conninfo": string.format(port=port)}):
        pass

    assert shown.format(port=port) in refused.value.detail


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            'connection failed: connection to server at "db", port 5432 failed: FATAL:  no pg_hba.conf entry for host'
            ' "10.0.0.1", user "ada", database "notes", no encryption',
            "OM_PG_SSL=require",
        ),
        ("server does not support SSL, but SSL was required", "OM_PG_SSL=disable"),
        ('root certificate file "/root/.postgresql/root.crt" does not exist', "PGSSLROOTCERT"),
        ("connection timeout expired", "OM_PG_CONNECT_TIMEOUT_S"),
        ("FATAL:  the database system is starting up", "wait until it is"),
        ("FATAL:  Passwort-Authentifizierung für Benutzer »ada« fehlgeschlagen", "OM_PG_USER and OM_PG_PASSWORD"),
        ("something that nobody foresaw", "Check OM_PG_HOST and OM_PG_PORT, OM_PG_DB, OM_PG_USER"),
    ],
)
def test_what_cannot_be_made_here_is_told_by_its_words(said: str, remedy: str) -> None:
    detail = unreachable({"host": "db", "user": "ada", "password": SECRET}, psycopg.OperationalError(said)).detail

    assert remedy in detail
    assert SECRET not in detail


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            'connection failed: connection to server at "certificate.example" (10.0.0.1), port 5432 failed: Connection'
            " refused\n\tIs the server running on that host?",
            "Nothing listens there",
        ),
        (
            'connection failed: connection to server at "password-db.example" (10.0.0.1), port 5432 failed: Connection'
            " timed out",
            "OM_PG_CONNECT_TIMEOUT_S",
        ),
        (
            'connection is bad: connection to server on socket "/srv/pg_hba/.s.PGSQL.5432" failed: No such file or'
            " directory",
            "its socket in that folder",
        ),
        ("failed to resolve host 'password-db.example': [Errno -2] Name or service not known", "No machine is known"),
        ('could not translate host name "sasl" to address: No address', "No machine is known"),
        ('FATAL:  role "too many clients" does not exist', "Check OM_PG_USER"),
        (
            "connection failed: connection timeout expired\nMultiple connection attempts failed. All failures were:\n"
            "- host: 'ssl-required', port: '5432', hostaddr: '10.0.0.1': connection timeout expired",
            "OM_PG_CONNECT_TIMEOUT_S",
        ),
    ],
)
def test_names_in_what_was_said_lead_to_no_setting(said: str, remedy: str) -> None:
    error = psycopg.OperationalError(said)

    assert remedy in unreachable({"host": "db", "user": "ada"}, error).detail
    assert not is_full(error)


def test_the_user_who_serves_is_looked_for_among_its_own_settings() -> None:
    conninfo = {"conninfo": f"postgresql://ada:{SECRET}@db/notes", "user": "bea", "password": SECRET}

    detail = unreachable(conninfo, psycopg.OperationalError("FATAL:  password authentication failed")).detail

    assert "database notes, as bea" in detail
    assert detail.endswith("Check OM_PG_APP_USER and OM_PG_APP_PASSWORD")


@pytest.mark.parametrize("is_embedded", [True, False])
def test_a_server_of_ones_own_is_known_from_the_one_brought_along_though_its_owner_has_the_same_name(
    is_embedded: bool, tmp_path: Path
) -> None:
    brought_along = dsn(tmp_path, OWNER, SECRET)
    string = brought_along if is_embedded else str(brought_along)

    with pytest.raises(DatabaseUnavailable) as refused, connected({"conninfo": string}):
        pass

    assert ("cannot connect to the PostgreSQL in" in refused.value.detail) == is_embedded
    assert ("OM_PG_DSN" in refused.value.detail) != is_embedded
