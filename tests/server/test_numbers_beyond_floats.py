"""Numbers that only SQL can have put beside a memory: the answer is JSON all the same."""

import json

import httpx2
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from openmemory.app import Logins
from tests.server.asking import told

BEYOND = "1" + "0" * 309 + ".5"


def strictly(text: str) -> object:
    """Return what a JSON text says; raises ValueError for Infinity and NaN, which JSON does not know."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("column", "value"), [("metadata", f'{{"x": {BEYOND}, "y": [1.5, -{BEYOND}]}}'), ("decay_rate", "Infinity")]
)
async def test_a_number_that_no_float_holds_is_null_in_answers(
    me: httpx2.AsyncClient, tenant: str, logins: Logins, column: str, value: str
) -> None:
    memory = await told(me, "The ferry leaves at nine", metadata={"y": 1})
    with psycopg.connect(make_conninfo(**logins.owner)) as owner:
        query = f"UPDATE openmemory_memories SET {column} = %s WHERE tenant_id = %s"
        owner.execute(query.encode(), [value, tenant])

    one = await me.get(f"/memory/{memory}")
    page = await me.get("/memory/all")
    found = await me.post("/memory/query", json={"query": "ferry"})

    for answer in (one, page, found):
        assert answer.status_code == 200
        strictly(answer.text)
    name, wanted = ("metadata", {"x": None, "y": [1.5, None]}) if column == "metadata" else ("decay_lambda", None)
    assert one.json()[name] == wanted
