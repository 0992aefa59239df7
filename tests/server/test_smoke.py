import httpx2

from tests.factories import a_tenant


async def test_what_was_told_is_found(http: httpx2.AsyncClient) -> None:
    headers = {"x-tenant-id": a_tenant()}
    added = await http.post("/memory/add", json={"content": "The lighthouse lamp is brass"}, headers=headers)
    assert added.status_code == 200

    found = await http.post("/memory/query", json={"query": "brass lamp"}, headers=headers)

    assert [match["id"] for match in found.json()["matches"]] == [added.json()["id"]]
