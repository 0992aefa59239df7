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
