"""An old memory's numbers stay what they are to the last digit, whatever of the memory is changed."""

import json

import httpx2
import pytest

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_after import answered, served

PRECISE = '{"big": 12345678901234567890.123, "openmemory_old": {"x": 1.00000000000000000001}}'
PRICE = "1234567890123456.7891"
LARGE = "1" + "0" * 310 + ".5"
BEYOND = f'{{"x": {LARGE}, "openmemory_old": {{"meta": {LARGE}}}}}'


@pytest.fixture
def precise(old: Place) -> Place:
    """Return a lifted database; one memory, "true", has numbers of more digits than a float in its metadata."""
    with old.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD COLUMN price numeric(20, 4)")
        connection.execute(
            "UPDATE openmemory_memories SET meta = %s, price = %s WHERE content = 'true'", [PRECISE, PRICE]
        )
    upgrade(old.logins.owner, old.names, Plan(1536), login=old.logins.server_user)
    return old


@pytest.fixture
def beyond(old: Place) -> Place:
    """Return a lifted database; one memory, "true", has numbers beyond the range of floats in its metadata."""
    upgrade(old.logins.owner, old.names, Plan(1536), login=old.logins.server_user)
    with old.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET metadata = %s WHERE content = 'true'", [BEYOND])
    return old


def written(place: Place, id_: str) -> str:
    """Return the metadata of a memory as PostgreSQL writes it."""
    with place.owner() as connection:
        row = connection.execute("SELECT metadata::text FROM openmemory_memories WHERE id = %s", [id_]).fetchone()
    assert row is not None
    text: str = row[0]
    return text


def id_of_true(place: Place) -> str:
    """Return the id of the memory with the numbers."""
    with place.owner() as connection:
        row = connection.execute("SELECT id::text FROM openmemory_memories WHERE content = 'true'").fetchone()
    assert row is not None
    id_: str = row[0]
    return id_


async def patched(client: httpx2.AsyncClient, id_: str, **sent: object) -> None:
    """Change a memory, which thereby becomes another version."""
    before = (await client.get(f"/memory/{id_}")).headers["etag"].strip('"')
    said = await answered(client, "PATCH", f"/memory/{id_}", **sent)
    assert said == {"id": id_, "updated": True, "version": int(before) + 1}


async def test_a_change_that_names_no_metadata_leaves_every_digit(precise: Place) -> None:
    id_ = id_of_true(precise)
    before = written(precise, id_)
    async with served(precise) as client:
        await patched(client, id_, tags=["x"])
        await patched(client, id_, salience=0.25)
        await patched(client, id_, sector="emotional")
        await patched(client, id_, content="Ada moved to Lisbon", embedding=[1.0] + [0.0] * 1535)
        await answered(client, "POST", "/memory/reinforce", id=id_, boost=0.1)

    assert written(precise, id_) == before
    assert "12345678901234567890.123" in before
    assert "1.00000000000000000001" in before
    assert PRICE in before


async def test_new_metadata_leave_every_digit_of_the_old_values(precise: Place) -> None:
    id_ = id_of_true(precise)
    kept = json.loads(written(precise, id_), parse_float=str)["openmemory_old"]
    async with served(precise) as client:
        await patched(client, id_, metadata={"a": 1})
        once = json.loads(written(precise, id_), parse_float=str)
        await patched(client, id_, metadata={}, content="Ada moved", embedding=[1.0] + [0.0] * 1535)
        again = json.loads(written(precise, id_), parse_float=str)
        await patched(client, id_, metadata={"openmemory_old": {"x": 2.5}})
        replaced = written(precise, id_)
        await patched(client, id_, metadata={"openmemory_old": None})

    assert kept["columns"]["price"] == PRICE
    assert once == {"a": 1, "openmemory_old": kept}
    assert again == {"openmemory_old": kept}
    assert replaced == '{"openmemory_old": {"x": 2.5}}'
    assert written(precise, id_) == "{}"


async def test_metadata_sent_back_as_read_leave_every_digit(precise: Place) -> None:
    id_ = id_of_true(precise)
    before = json.loads(written(precise, id_), parse_float=str)
    async with served(precise) as client:
        read = (await answered(client, "GET", f"/memory/{id_}"))["metadata"]
        assert isinstance(read, dict)
        await patched(client, id_, metadata={**read, "a": 1}, tags=["x"])

    assert json.loads(written(precise, id_), parse_float=str) == {**before, "a": 1}


async def test_a_memory_with_a_number_beyond_floats_can_be_changed(beyond: Place) -> None:
    id_ = id_of_true(beyond)
    async with served(beyond) as client:
        await patched(client, id_, tags=["x"])
        left_alone = written(beyond, id_)
        await patched(client, id_, metadata={"y": 1})

    assert left_alone == BEYOND
    assert written(beyond, id_) == f'{{"y": 1, "openmemory_old": {{"meta": {LARGE}}}}}'
