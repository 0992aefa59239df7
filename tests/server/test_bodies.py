"""Bodies that are no JSON, too large, or odd."""

import codecs
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest

from tests.factories import a_tenant
from tests.server.asking import a_client, fields, listed, problem
from tests.server.conftest import Started

JSON = {"content-type": "application/json"}
POSTS = ["/memory/add", "/memory/add/batch", "/memory/query", "/memory/reinforce"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{'content': 1}",
        b'{"content": "x",}',
        b'{"content": "x"} {}',
        b'{"content": "caf\xe9"}',
        b"\xff\xfe\x00",
        b"\x80",
        b"\0",
        b'{"content": "\x01"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"k": ' + b"9" * 5_000 + b"}",
        b"nul",
    ],
)
async def test_what_is_no_json_is_malformed(me: httpx2.AsyncClient, path: str, body: bytes) -> None:
    found = problem(await me.post(path, content=body, headers=JSON), 400, "malformed")

    assert found["errors"][0]["field"] == "body"
    assert found["instance"] == path


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"true", b"{}", b"NaN", b"1e999", b'["a"]'])
async def test_json_of_another_shape_is_malformed(me: httpx2.AsyncClient, path: str, body: bytes) -> None:
    problem(await me.post(path, content=body, headers=JSON), 400, "malformed")


@pytest.mark.parametrize("owner", ["user_id", "userId"])
async def test_a_byte_order_mark_before_a_body_is_ignored(me: httpx2.AsyncClient, owner: str) -> None:
    ours = str(uuid4())
    item = {"content": "The ferry leaves at nine", "id": ours, owner: "ann"}
    bodies = {
        "/memory/add": item,
        "/memory/add/batch": {"items": [item]},
        "/memory/query": {"query": "ferry", owner: "ann"},
        "/memory/reinforce": {"id": ours, owner: "ann"},
    }

    statuses = [
        (await me.post(path, content=codecs.BOM_UTF8 + json.dumps(body).encode(), headers=JSON)).status_code
        for path, body in bodies.items()
    ]

    assert statuses == [200 if owner == "user_id" else 400] * len(bodies)


@pytest.mark.parametrize("depth", [17, 200, 500, 900])
async def test_deep_nesting_is_malformed(me: httpx2.AsyncClient, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"content": "The ferry", "query": "ferry", "metadata": ' + deep + b', "items": ' + deep + b"}"

    for path in POSTS:
        problem(await me.post(path, content=body, headers=JSON), 400, "malformed")


async def test_metadata_may_be_16_deep(me: httpx2.AsyncClient) -> None:
    body = b'{"content": "The ferry", "metadata": ' + b'{"a":' * 16 + b"1" + b"}" * 16 + b"}"

    assert (await me.post("/memory/add", content=body, headers=JSON)).status_code == 200


async def test_of_repeated_keys_the_last_counts(me: httpx2.AsyncClient) -> None:
    body = b'{"content": "first", "content": "last"}'

    assert (await me.post("/memory/add", content=body, headers=JSON)).status_code == 200
    assert await listed(me) == ["last"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "media",
    [
        *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"),
        *("text/json", "text/x+json", "json", "application/jsonl", "", "application/json/x", "x" * 5_000),
    ],
)
async def test_another_media_type_is_refused(me: httpx2.AsyncClient, path: str, media: str) -> None:
    found = problem(
        await me.post(path, content=b'{"content": "x"}', headers={"content-type": media}), 415, "media-type-unsupported"
    )

    assert len(found["detail"]) < 200


async def test_a_body_without_a_media_type_is_refused(me: httpx2.AsyncClient) -> None:
    problem(await me.post("/memory/add", content=b'{"content": "x"}'), 415, "media-type-unsupported")


@pytest.mark.parametrize(
    "media",
    [
        *("application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=x"),
        *("application/vnd.api+json", " application/json "),
    ],
)
async def test_json_is_taken_under_any_of_its_names(me: httpx2.AsyncClient, media: str) -> None:
    response = await me.post("/memory/add", content=b'{"content": "x"}', headers={"content-type": media})

    assert response.status_code == 200


async def test_a_call_without_a_body_needs_no_media_type(me: httpx2.AsyncClient) -> None:
    assert (await me.get("/memory/all", headers={"content-type": "text/html"})).status_code == 200
    assert (await me.delete("/users/ada/memories", headers={"content-length": "0"})).status_code == 200


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body in pieces, so that its length is not said."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


def a_body(size: int) -> bytes:
    """Return JSON of exactly `size` bytes."""
    frame = json.dumps({"content": "x", "padding": ""})
    return json.dumps({"content": "x", "padding": "y" * (size - len(frame))}).encode()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_not(me: httpx2.AsyncClient, chunked: bool) -> None:
    for size, status in ((1024**2, 200), (1024**2 + 1, 413)):
        body = a_body(size)
        response = await me.post("/memory/add", content=in_pieces(body) if chunked else body, headers=JSON)

        assert response.status_code == status, response.text
    problem(response, 413, "too-large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_batch_over_its_own_limit_is_refused(me: httpx2.AsyncClient, chunked: bool) -> None:
    body = b" " * (32 * 1024**2 + 1)

    response = await me.post("/memory/add/batch", content=in_pieces(body) if chunked else body, headers=JSON)

    problem(response, 413, "too-large")


@pytest.mark.parametrize("length", ["1048577", "9" * 15, "9" * 5_000, "0" * 40 + "1048577"])
async def test_a_length_that_is_too_large_is_refused_before_the_body(me: httpx2.AsyncClient, length: str) -> None:
    response = await me.post("/memory/add", content=b"{}", headers={**JSON, "content-length": length})

    problem(response, 413, "too-large")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "nonsense"])
async def test_an_encoded_body_is_refused(me: httpx2.AsyncClient, coding: str) -> None:
    for path in ("/memory/add", "/memory/query"):
        response = await me.post(path, json={"content": "x", "query": "x"}, headers={"content-encoding": coding})

        assert coding in problem(response, 415, "media-type-unsupported")["detail"]


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_a_body_that_says_it_is_not_encoded_is_taken(me: httpx2.AsyncClient, coding: str) -> None:
    response = await me.post("/memory/add", json={"content": "The ferry"}, headers={"content-encoding": coding})

    assert response.status_code == 200


async def test_what_is_no_json_is_told_where(me: httpx2.AsyncClient) -> None:
    body = b'{"content": "the ferry", }'

    response = await me.post("/memory/add", content=body, headers={"content-type": "application/json"})

    (field,) = problem(response, 400, "malformed")["errors"]
    assert field["message"].startswith("is not valid JSON: ")
    assert field["message"].endswith("line 1 column 26")
    assert "ferry" not in response.text


async def test_a_body_of_very_many_lists_or_values_is_refused_and_a_text_of_brackets_is_not(
    me: httpx2.AsyncClient,
) -> None:
    json_body = {"content-type": "application/json"}

    async def status(items: str) -> int:
        response = await me.post("/memory/add/batch", content=f'{{"items": [{items}]}}', headers=json_body)
        return response.status_code

    brackets = "[{" * 40_000
    assert await status(",".join(["[]"] * 100_001)) == 413
    assert await status(",".join(["1"] * 4_194_306)) == 413
    assert await status(",".join(["[]"] * 1_001)) == 400
    assert await status(",".join(f'{{"content": "{place} \\"{brackets}"}}' for place in range(3))) == 200


async def test_as_many_values_are_taken_as_a_larger_batch_has_room_for(started: Started) -> None:
    embedding = ",".join(["1"] * 4_200)
    items = ",".join([f'{{"content": "x", "embedding": [{embedding}]}}'] * 1_000)
    body = f'{{"items": [{items}]}}'

    async with (
        started() as small,
        started(OM_MAX_BATCH_BYTES="64MiB") as large,
        a_client(small, a_tenant()) as me,
        a_client(large, a_tenant()) as me_of_large,
    ):
        refused = await me.post("/memory/add/batch", content=body, headers=JSON)
        read = await me_of_large.post("/memory/add/batch", content=body, headers=JSON)

    assert "4,194,304 values" in problem(refused, 413, "too-large")["detail"]
    assert fields(read) == ["items[0].embedding"]  # which has the length of no vector here


async def test_a_change_of_very_many_lists_is_refused_before_it_is_read(me: httpx2.AsyncClient) -> None:
    added = (await me.post("/memory/add", json={"content": "The ferry leaves at nine"})).json()["id"]
    lists = ",".join(["[]"] * 100_001)

    response = await me.patch(
        f"/memory/{added}",
        content=f'{{"metadata": {{"lists": [{lists}]}}}}',
        headers={"content-type": "application/json"},
    )

    problem(response, 413, "too-large")
