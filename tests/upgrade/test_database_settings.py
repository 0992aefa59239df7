"""A database whose owner has set for all sessions how SQL is read and values are written."""

from dataclasses import replace

import pytest

from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_after import answered, served
from tests.upgrade.test_odd_values import A, B, odd, remember
from tests.upgrade.test_script import psql

__all__ = ["odd"]

SETTINGS = {
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Asia/Kolkata'",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
}
PLAN = Plan(1536)
ONES = b"\x00\x00\x80?" * PLAN.dimension


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
async def test_is_lifted_and_serves(odd: Place, by: str) -> None:
    backslash = "Ada\\'s boat lies in Lisbon"
    with odd.owner() as connection:
        remember(connection, A, content=backslash, user_id="a\\'b", meta='{"a": "\\\\"}')
        remember(connection, B)
        connection.execute("INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 's', 1536, %s)", [A, ONES])
        for name, value in SETTINGS.items():
            database = connection.info.dbname
            connection.execute(f"ALTER DATABASE {database} SET {name} = {value}".encode())
    foretold = look(odd.logins.owner, odd.names, PLAN).kept_back(PLAN.dimension)
    for step in STEPS[: 3 if by == "psql" else 0]:
        done = psql(odd, script(odd.logins.owner, odd.names, PLAN, step))
        assert done.returncode == 0, done.stderr

    assert upgrade(odd.logins.owner, odd.names, PLAN, login=odd.logins.server_user).set_aside == foretold

    async with served(replace(odd, names=replace(odd.names, dimension=PLAN.dimension))) as client:
        first = await answered(client, "GET", f"/memory/{A}")
        assert (first["content"], first["user_id"], first["metadata"]) == (backslash, "a\\'b", {"a": "\\"})
        assert first["occurred_at"] == "2023-11-14T22:13:20.001000Z"
        found = await answered(client, "POST", "/memory/query", query="Lisbon", since="2020-01-01", user_id="a\\'b")
        added = await answered(
            client, "POST", "/memory/add", content="NULL", tags=["NULL", "\\"], embedding=[1.0] * PLAN.dimension
        )
        said = await answered(client, "GET", f"/memory/{added['id']}")
        assert said["tags"] == ["NULL", "\\"]
        of_others = await client.get("/memory/all", headers={"x-tenant-id": "\\' OR true --"})
    assert isinstance(found["matches"], list)
    assert [match["id"] for match in found["matches"]] == [A]
    assert of_others.json()["items"] == []


@pytest.mark.parametrize("by", ["openmemory migrate", "psql"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
async def test_the_ends_of_the_calendar_are_lifted_and_served_in_any_time_zone(odd: Place, zone: str, by: str) -> None:
    with odd.owner() as connection:
        remember(connection, A, created_at=253_402_300_799_999, user_id="bob")
        remember(connection, B, created_at=-62_135_596_800_000, user_id="bob")
        connection.execute("INSERT INTO openmemory_vectors (id, sector, dim, v) VALUES (%s, 's', 1536, %s)", [A, ONES])
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET TimeZone = '{zone}'".encode())
    for step in STEPS[: 3 if by == "psql" else 0]:
        done = psql(odd, script(odd.logins.owner, odd.names, PLAN, step))
        assert done.returncode == 0, done.stderr

    upgrade(odd.logins.owner, odd.names, PLAN, login=odd.logins.server_user)

    async with served(replace(odd, names=replace(odd.names, dimension=PLAN.dimension))) as client:
        last, first = await answered(client, "GET", f"/memory/{A}"), await answered(client, "GET", f"/memory/{B}")
        of_user = await answered(client, "GET", "/users/bob/memories")
        await answered(client, "PATCH", f"/memory/{B}", tags=["kept"])
        found = await answered(client, "POST", "/memory/query", query="Lisbon", since="9999-12-31")
    assert last["occurred_at"] == "9999-12-31T23:59:59.999000Z"
    assert first["occurred_at"] == "0001-01-01T00:00:00Z"
    assert isinstance(of_user["items"], list)
    assert [item["id"] for item in of_user["items"]] == [A, B]
    assert isinstance(found["matches"], list)
    assert [match["id"] for match in found["matches"]] == [A]
