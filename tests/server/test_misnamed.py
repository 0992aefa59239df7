"""A field that was surely meant to say whose a memory is, under another name, is refused: it would be everybody's."""

import httpx2
import pytest

from tests.server.asking import fields, listed, told

WROTE = {"content": "The ferry leaves at nine"}
MISNAMED = [
    ("userId", "user_id"),
    ("usr_id", "user_id"),
    ("user", "user_id"),
    ("user-id", "user_id"),
    ("filters.user_id", "user_id"),
    ("projectId", "project_id"),
    ("sesion_id", "session_id"),
    ("tenant", "header"),
    ("tenant_id", "header"),
    ("tenantId", "header"),
]


@pytest.mark.parametrize(("name", "nearest"), MISNAMED)
async def test_an_add_with_a_misspelt_owner_is_refused_and_keeps_nothing(
    me: httpx2.AsyncClient, name: str, nearest: str
) -> None:
    response = await me.post("/memory/add", json={**WROTE, name: "ann"})

    assert fields(response) == [name]
    assert nearest in response.json()["errors"][0]["message"]
    assert await listed(me) == []


@pytest.mark.parametrize("name", ["agent_id", "namespace", "source", "uid", "decay_lambda", "username", "url", "type"])
async def test_other_unknown_fields_are_ignored(me: httpx2.AsyncClient, name: str) -> None:
    for path, body in (("add", {**WROTE, name: "x"}), ("add/batch", {"items": [{**WROTE, name: "x"}], name: "x"})):
        assert (await me.post(f"/memory/{path}", json=body)).status_code == 200


async def test_what_a_clients_own_metadata_and_texts_say_is_its_own(me: httpx2.AsyncClient) -> None:
    own = {"userId": "ann", "tenant": {"tenantId": 1}}
    item = {"content": 'They sent {"userId": "ann", "tenant": 1}', "metadata": own, "userId": None}

    for path, body in (("add", item), ("add/batch", {"items": [item, item]})):
        response = await me.post(f"/memory/{path}", json=body)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(("name", "nearest"), MISNAMED)
async def test_a_batch_names_the_items_with_a_misspelt_owner_and_keeps_none(
    me: httpx2.AsyncClient, name: str, nearest: str
) -> None:
    items = [{**WROTE, "user_id": "ann"}, {**WROTE, name: "ann"}, WROTE, {**WROTE, name: "bea", "metadata": {name: 1}}]

    response = await me.post("/memory/add/batch", json={"items": items})

    assert fields(response) == [f"items[1].{name}", f"items[3].{name}"]
    assert nearest in response.json()["errors"][0]["message"]
    assert await listed(me) == []


@pytest.mark.parametrize("other", [{}, {"content": ""}])
async def test_a_partial_batch_keeps_the_items_whose_owner_is_clear(
    me: httpx2.AsyncClient, other: dict[str, object]
) -> None:
    items = [{**WROTE, "userId": "ann"}, {"content": "The mill stands still", "user_id": "ann"}, {**WROTE, **other}]

    response = await me.post("/memory/add/batch", json={"items": items, "partial": True})

    first, second, third = response.json()["results"]
    assert (first["status"], first["errors"][0]["field"]) == (400, "items[0].userId")
    assert "id" in second
    assert ("id" in third) == (not other)
    assert "The mill stands still" in await listed(me)


@pytest.mark.parametrize("name", ["user_id", "userId", "session_id", "tenant_id"])
async def test_an_owner_beside_the_items_of_a_batch_is_of_none_of_them(me: httpx2.AsyncClient, name: str) -> None:
    for partial, content in ((False, "x"), (True, "x"), (True, "")):
        body = {"items": [{"content": content, "user_id": "bea"}], name: "ann", "partial": partial}
        assert fields(await me.post("/memory/add/batch", json=body)) == [name]

    assert await listed(me) == []


@pytest.mark.parametrize("name", ["userId", "tenant_id", "projectId"])
async def test_a_change_and_a_reinforcement_with_a_misspelt_owner_are_refused(
    me: httpx2.AsyncClient, name: str
) -> None:
    memory = await told(me, "The ferry leaves at nine", user_id="ann")

    patched = await me.patch(f"/memory/{memory}", json={"tags": ["x"], name: "bea"})
    reinforced = await me.post("/memory/reinforce", json={"id": memory, name: "bea"})

    assert fields(patched) == fields(reinforced) == [name]
    assert (await me.get(f"/memory/{memory}")).json()["tags"] == []


async def test_a_memory_can_be_sent_back_as_it_was_read(me: httpx2.AsyncClient) -> None:
    own = {"user_id": "ann", "project_id": "p", "session_id": "s", "speaker": "Ann", "occurred_at": 1_700_000_000_001}
    memory = await told(me, "The ferry leaves at nine", **own)
    read = (await me.get(f"/memory/{memory}")).json()

    patched = await me.patch(f"/memory/{memory}", json={**read, "tags": ["x"]})
    reinforced = await me.post("/memory/reinforce", json=read)

    assert (patched.status_code, reinforced.status_code) == (200, 200)


@pytest.mark.parametrize("name", ["season_id", "projection", "agent_id", "sincere", ""])
async def test_a_word_that_only_resembles_an_owner_or_a_filter_is_ignored(me: httpx2.AsyncClient, name: str) -> None:
    added = await me.post("/memory/add", json={"content": "The ferry leaves at nine", name: "v"})
    asked = await me.post("/memory/query", json={"query": "ferry", name: "v"})

    assert (added.status_code, asked.status_code) == (200, 200)


async def test_an_owner_among_thousands_of_other_names_is_found(me: httpx2.AsyncClient) -> None:
    others = {f"uzer_{place}_id": place for place in range(5_000)}

    response = await me.post("/memory/add", json={**WROTE, **others, "tenant_id": "x"})

    assert fields(response) == ["tenant_id"]


@pytest.mark.parametrize("name", ["tenant", "tenant_id", "tenantId"])
@pytest.mark.parametrize("place", ["", "filters."])
async def test_a_question_names_no_tenant_in_its_body(me: httpx2.AsyncClient, place: str, name: str) -> None:
    narrowing = {name: "x"}
    response = await me.post(
        "/memory/query", json={"query": "ferry", **({"filters": narrowing} if place else narrowing)}
    )

    assert fields(response) == [f"{place}{name}"]
    assert "OM_TENANT_HEADER" in response.json()["errors"][0]["message"]


async def test_a_sector_is_corrected_by_its_own_field(me: httpx2.AsyncClient) -> None:
    memory = await told(me, "The ferry leaves at nine")

    for body in ({"sector": "reflective"}, {"sector": "episodic", "metadata": {"sector": "my own"}}):
        assert (await me.patch(f"/memory/{memory}", json=body)).status_code == 200
        assert (await me.get(f"/memory/{memory}")).json()["primary_sector"] == body["sector"]
    both = await me.patch(f"/memory/{memory}", json={"sector": "semantic", "metadata": {"sector": "reflective"}})
    wrong = await me.patch(f"/memory/{memory}", json={"sector": "nonsense"})

    assert fields(both) == ["sector", "metadata.sector"]
    assert fields(wrong) == ["sector"]
    assert (await me.get(f"/memory/{memory}")).json()["primary_sector"] == "episodic"
