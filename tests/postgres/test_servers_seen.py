"""A live server is seen by the owner's commands, whoever it logs in as; and it notices that its vectors are others."""

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from openmemory.postgres.roles import prepare_app_role
from openmemory.postgres.servers import called, servers
from tests.cli.homes import PATIENCE_S, Home, a_port, call
from tests.postgres.databases import Place
from tests.postgres.outside import PASSWORD, Outside, Site, a_site

LAMP = "The lamp of the lighthouse is brass"
TO_HASH = {"OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "256"}  # as many dimensions as the vectors before

_APPLICATIONS = (
    "SELECT string_agg(DISTINCT application_name, ',') FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_CALLS: Mapping[str, Mapping[str, str] | None] = {
    "/memory/add": {"content": "after the exchange"},
    "/memory/query": {"query": "brass lamp"},
    "/ready": None,
}


@pytest.fixture
def site(server: Outside, home: Home) -> Site:
    """Return a migrated database, and a login beside the owner's that becomes the owner."""
    migrated = a_site(server, "CREATEROLE")
    migrated.run(
        f"CREATE ROLE rotated_{migrated.mark} LOGIN PASSWORD '{PASSWORD}' IN ROLE {migrated.owner}",
        f"ALTER ROLE rotated_{migrated.mark} SET ROLE = {migrated.owner}",
    )
    ran = migrated.home(home).run("migrate")
    assert ran.status == 0, ran.err
    return migrated


def status(port: int, path: str, body: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Return how a call is answered, and with what."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        headers = {"content-type": "application/json", "x-tenant-id": "acme"}
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("who", ["login", "rotated"])
def test_a_server_that_logs_in_as_another_than_the_owner_is_seen_and_notices_another_model(
    site: Site, home: Home, who: str
) -> None:
    owner, port = site.home(home, with_login=False), a_port()
    server = site.home(home) if who == "login" else owner.with_settings(OM_PG_USER=f"rotated_{site.mark}")
    with server.serving(port) as process:
        call(port, "/memory/add", {"content": LAMP}, "acme")
        seen = site.value(_APPLICATIONS)

        refused = owner.with_settings(**TO_HASH).run("reembed", "--yes")
        before = status(port, "/memory/query", {"query": "brass lamp"})
        moved = owner.with_settings(**TO_HASH).run("reembed", "--yes", "--ignore-sessions")

        after = {path: status(port, path, body) for path, body in _CALLS.items()}
        process.terminate()
        said = process.communicate()[1]

    assert seen == "openmemory serve public"
    assert refused.status == 1
    assert f"but a server is still connected: openmemory serve public, {who}_{site.mark}" in " ".join(
        refused.err.split()
    )
    assert before[0] == 200
    assert moved.status == 0, moved.err
    assert {path: code for path, (code, _) in after.items()} == dict.fromkeys(_CALLS, 503)
    assert all("made by hash-v1 (256 dimensions" in body and "OM_EMBEDDINGS=hash" in body for _, body in after.values())
    assert site.value("SELECT count(*) FROM openmemory_memories") == 1, said


@pytest.mark.parametrize(
    ("application", "is_member", "seen"),
    [
        ("openmemory serve public", True, "a server"),
        ("openmemory serve of_another_schema", True, None),
        ("openmemory command public", True, "what may be a server"),
        ("", True, "what may be a server"),
        ("memories of acme", True, "what may be a server"),
        ("openmemory serve public", False, "a server"),
        ("", False, None),
        ("openmemory-direct", True, None),
        ("openmemory-reembed", True, None),
        ("psql", True, None),
        ("pgAdmin 4 - CONN:1", True, None),
        ("postgres_exporter", True, None),
    ],
)
def test_a_session_is_known_by_its_name_or_by_a_login_that_may_become_the_tenants_role(
    place: Place, application: str, is_member: bool, seen: str | None
) -> None:
    prepare_app_role(place.logins.owner, place.names)
    own_login = f"LOGIN NOINHERIT PASSWORD '{PASSWORD}'"
    login = place.with_role(own_login + (f" IN ROLE {place.names.app_role}" if is_member else ""))
    way = make_conninfo(
        make_conninfo(**place.logins.owner), user=login, password=PASSWORD, application_name=application
    )
    with place.owner() as owner, psycopg.connect(way):
        found = [one for one in servers(owner, place.names, "somebody-else") if one.user == login]

    assert (called(found) if found else None) == seen


def test_a_superuser_is_no_server_by_what_he_may_become(place: Place) -> None:
    prepare_app_role(place.logins.owner, place.names)
    with place.owner() as owner, place.owner():
        assert servers(owner, place.names, "somebody-else") == ()
        assert servers(owner, place.names, None) != ()
