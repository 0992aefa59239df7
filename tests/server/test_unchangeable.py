"""PATCH /memory/{id} calls nothing changed that is not."""

import httpx2
import pytest

from tests.server.asking import fields, problem, read, told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project_id", "another"),
        ("session_id", "another"),
        ("speaker", "Ben"),
        ("occurred_at", "2024-05-01T12:00:00.000001Z"),
        ("primary_sector", "emotional"),
        ("sectors", ["emotional"]),
        ("id", "00000000-0000-4000-8000-000000000000"),
        ("created_at", 1_700_000_000_000),
        ("decay_lambda", 0.5),
    ],
)
@pytest.mark.parametrize("had", [True, False])
async def test_what_no_change_reaches_is_refused_unless_it_is_as_it_was(
    me: httpx2.AsyncClient, field: str, value: str, had: bool
) -> None:
    own = {"project_id": "p", "session_id": "s", "speaker": "Ann", "occurred_at": "2024-05-01T12:00:00Z"}
    memory = await told(me, "The ferry leaves at nine", **(own if had else {}))
    before = await read(me, memory)

    refused = await me.patch(f"/memory/{memory}", json={**before, "tags": ["x"], field: value})
    silent = await me.patch(f"/memory/{memory}", json={field: None})

    problem(refused, 400, "malformed")
    assert fields(refused) == [field]
    assert (silent.status_code, silent.json()["version"]) == (200, before["version"])
    assert (await read(me, memory))["tags"] == []


async def test_a_patch_that_changes_nothing_is_no_new_version(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine", tags=["x"])

    for body in ({"tags": ["x"]}, {"content": "The ferry leaves at nine"}):
        assert (await me.patch(f"/memory/{memory}", json=body)).json() == {"id": memory, "updated": True, "version": 1}


@pytest.mark.parametrize("body", [{}, {"tags": None}, {"colour": "red"}, {"user_id": "ada", "speaker": "Ann"}])
async def test_a_patch_that_asks_for_nothing_claims_no_change(me: httpx2.AsyncClient, body: dict[str, object]) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ada", speaker="Ann")

    response = await me.patch(f"/memory/{memory}", json=body)

    assert response.json() == {"id": memory, "updated": False, "version": 1}


@pytest.mark.parametrize("field", ["version", "updated_at", "last_seen_at"])
async def test_what_changes_by_itself_is_no_change_to_ask_for(me: httpx2.AsyncClient, field: str) -> None:
    memory = await told(me, "The ferry leaves at nine")

    refused = await me.patch(f"/memory/{memory}", json={field: 7})
    beside = await me.patch(f"/memory/{memory}", json={"tags": ["x"], field: 7})

    assert fields(refused) == [field]
    assert beside.json() == {"id": memory, "updated": True, "version": 2}
