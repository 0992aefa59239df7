"""Databases and roles whose time zone is not UTC: the first and the last instant of the calendar stay readable."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from openmemory import app as application
from openmemory.adapters.embedders import Embedder
from openmemory.app import Readied
from openmemory.postgres.statements import Names
from openmemory.settings import Settings
from tests.conftest import Server
from tests.factories import a_tenant
from tests.postgres.databases import Place, a_place
from tests.server.asking import a_client, asked, listed, told

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
LAMP, CONTRACT = "The lamp was lit at the beginning", "The contract never ends"


@pytest.fixture(params=["Europe/Berlin", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest) -> str:
    """Return a time zone in which the last or the first instant is in no year that Python has."""
    return str(request.param)


@pytest.fixture(params=["database", "role"])
def place(request: pytest.FixtureRequest, postgres: Server, zone: str) -> Iterator[Place]:
    """Yield a migrated database in that zone, or whose login is."""
    with a_place(postgres, Names(dimension=256)) as made:
        made.migrate()
        with made.owner() as connection:
            name, login = connection.info.dbname, made.logins.server_user
            whose = f"DATABASE {name}" if request.param == "database" else f'ROLE "{login}" IN DATABASE {name}'
            connection.execute(f"ALTER {whose} SET timezone = '{zone}'".encode())
        yield made


@pytest.fixture
async def client(place: Place, settings: Settings, embedder: Embedder) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a tenant of a server on it."""
    built = application.create_app(settings, Readied(place.logins, place.names), embedder)
    async with built.router.lifespan_context(built), a_client(built, a_tenant()) as made:
        yield made


async def test_the_ends_of_the_calendar_are_listed_found_filtered_and_changed(client: httpx2.AsyncClient) -> None:
    lamp = await told(client, LAMP, occurred_at=FIRST)
    contract = await told(client, CONTRACT, occurred_at=LAST)

    assert await listed(client) == [CONTRACT, LAMP]
    for id_, instant in ((lamp, FIRST), (contract, LAST)):
        assert (await client.get(f"/memory/{id_}")).json()["occurred_at"] == instant
        changed = await client.patch(f"/memory/{id_}", json={"tags": ["kept"]})
        assert changed.status_code == 200, changed.text
    found = await asked(client, query="contract lamp")
    assert {match["occurred_at"] for match in found} == {FIRST, LAST}
    since = await asked(client, query="contract lamp", since=LAST)
    until = await asked(client, query="contract lamp", until="0001-01-01T00:00:01Z")
    assert ([match["id"] for match in since], [match["id"] for match in until]) == ([contract], [lamp])


@pytest.mark.parametrize("zone", ["Europe/Berlin"], indirect=True)
@pytest.mark.parametrize("place", ["database"], indirect=True)
@pytest.mark.parametrize(("stored", "read"), [("infinity", LAST), ("-infinity", FIRST), ("4713-01-01 BC", FIRST)])
async def test_an_instant_that_only_sql_can_store_is_read_as_the_nearest(
    place: Place, client: httpx2.AsyncClient, stored: str, read: str
) -> None:
    id_ = await told(client, CONTRACT)
    await told(client, LAMP)
    with place.owner() as connection:
        for table in ("openmemory_memories", "openmemory_vectors"):
            connection.execute(f"UPDATE {table} SET occurred_at = %s WHERE id = %s".encode(), [stored, id_])

    assert len(await listed(client)) == 2
    assert (await client.get(f"/memory/{id_}")).json()["occurred_at"][:19] == read[:19]
    assert id_ in [match["id"] for match in await asked(client, query="contract")]
