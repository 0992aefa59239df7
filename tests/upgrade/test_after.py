"""A lifted database serves: every old memory is found by its words and by its vector, listed, changed and deleted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from openmemory import app as application
from openmemory.adapters.embedders import NoEmbedder
from openmemory.app import Readied
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.settings import load
from tests.postgres.databases import Place

TENANT = {"x-tenant-id": "default"}


@pytest.fixture
def lifted(old: Place) -> Place:
    """Return the recorded database, lifted."""
    upgrade(old.logins.owner, old.names, Plan(1536), login=old.logins.server_user)
    return old


@pytest.fixture
async def client(lifted: Place) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a server on it."""
    async with served(lifted) as client:
        yield client


@asynccontextmanager
async def served(lifted: Place, dimension: int = 1536) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a server on a lifted database that embeds nothing itself."""
    settings = load(environ={"OM_EMBEDDINGS": "none", "OM_VEC_DIM": str(dimension)})
    api = application.create_app(settings, Readied(lifted.logins, lifted.names), NoEmbedder())
    transport = httpx2.ASGITransport(app=api, client=("127.0.0.1", 50000))
    async with (
        api.router.lifespan_context(api),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=TENANT) as client,
    ):
        yield client


async def answered(client: httpx2.AsyncClient, method: str, path: str, **sent: object) -> dict[str, object]:
    """Return what a good answer says."""
    answer = await client.request(method, path, json=sent or None)
    assert answer.status_code == 200, answer.text
    said: dict[str, object] = answer.json()
    return said


async def test_every_old_memory_is_listed_and_read(client: httpx2.AsyncClient) -> None:
    listed = await answered(client, "GET", "/memory/all?l=1000")
    items = listed["items"]
    assert isinstance(items, list)
    assert len({item["id"] for item in items}) == 568
    for item in items[::50]:
        assert (await answered(client, "GET", f"/memory/{item['id']}"))["content"] == item["content"]


async def test_every_old_vector_finds_its_memory(lifted: Place, client: httpx2.AsyncClient) -> None:
    with lifted.owner() as connection:
        rows = connection.execute(
            "SELECT id::text, embedding::real[] FROM openmemory_vectors WHERE sector = 'semantic' ORDER BY id LIMIT 40"
        ).fetchall()
    for id_, embedding in rows:
        said = await answered(client, "POST", "/memory/query", embedding=embedding, k=20)
        matches = said["matches"]
        assert isinstance(matches, list)
        ids = [match["id"] for match in matches]
        assert len(ids) == len(set(ids)) == 20
        assert id_ in ids


async def test_every_old_memory_is_found_by_its_words_changed_and_deleted(
    lifted: Place, client: httpx2.AsyncClient
) -> None:
    with lifted.owner() as connection:
        rows = connection.execute(
            "SELECT id::text, content FROM openmemory_memories WHERE content ~ '[a-z]{5}.*[0-9]{3}'"
            " AND length(content) < 200 ORDER BY id LIMIT 30"
        ).fetchall()
    for id_, content in rows:
        said = await answered(client, "POST", "/memory/query", query=content, k=50)
        matches = said["matches"]
        assert isinstance(matches, list)
        assert id_ in [match["id"] for match in matches], content
        await answered(client, "PATCH", f"/memory/{id_}", tags=["moved"], metadata={"moved": True})
        changed = await answered(client, "GET", f"/memory/{id_}")
        assert changed["tags"] == ["moved"]
        await answered(client, "DELETE", f"/memory/{id_}")
        assert (await client.get(f"/memory/{id_}")).status_code == 404


async def test_old_values_that_have_no_place_outlive_new_metadata(old: Place) -> None:
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET salience = 1.75 WHERE content = 'true'")
    upgrade(old.logins.owner, old.names, Plan(1536), login=old.logins.server_user)
    async with served(old) as client:
        listed = await answered(client, "GET", "/memory/all?l=1000")
        items = listed["items"]
        assert isinstance(items, list)
        ((id_, before),) = [(item["id"], item["metadata"]) for item in items if item["content"] == "true"]

        await answered(client, "PATCH", f"/memory/{id_}", metadata={"moved": True})
        kept = (await answered(client, "GET", f"/memory/{id_}"))["metadata"]
        await answered(client, "PATCH", f"/memory/{id_}", metadata={"moved": True, "openmemory_old": None})
        gone = (await answered(client, "GET", f"/memory/{id_}"))["metadata"]

    assert before["openmemory_old"]["salience"] == 1.75
    assert kept == {"moved": True, "openmemory_old": before["openmemory_old"]}
    assert gone == {"moved": True}


async def test_the_same_said_again_is_known(lifted: Place, client: httpx2.AsyncClient) -> None:
    with lifted.owner() as connection:
        row = connection.execute(
            "SELECT id::text, content, user_id FROM openmemory_memories WHERE fingerprint IS NOT NULL LIMIT 1"
        ).fetchone()
    assert row is not None
    said = await answered(client, "POST", "/memory/add", content=row[1], user_id=row[2])
    assert (said["id"], said["deduplicated"]) == (row[0], True)
