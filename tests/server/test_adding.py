"""POST /memory/add."""

from uuid import UUID, uuid4

import httpx2
import pytest

from tests.server.asking import fields, problem, sent, told

SECTORS = {"episodic", "semantic", "procedural", "emotional", "reflective"}


async def test_an_add_answers_with_the_id_and_the_sectors(me: httpx2.AsyncClient) -> None:
    response = await me.post("/memory/add", json={"content": "The ferry leaves at nine"})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer.keys() == {"id", "primary_sector", "sectors", "chunks", "deduplicated"}
    assert str(UUID(answer["id"])) == answer["id"]
    assert answer["primary_sector"] in SECTORS
    assert answer["sectors"][0] == answer["primary_sector"]
    assert set(answer["sectors"]) <= SECTORS
    assert answer["deduplicated"] is False


async def test_everything_told_is_kept(me: httpx2.AsyncClient) -> None:
    given = {
        "content": "Kwame keeps bees on the roof",
        "tags": ["bees", "büro"],
        "metadata": {"source": "chat", "depth": {"list": [1, 2.5, None, True, "x"]}},
        "user_id": "kwame",
        "project_id": "roof",
        "session_id": "talk-1",
        "speaker": "Kwame",
        "sector": "semantic",
        "salience": 0.25,
        "id": str(uuid4()),
    }

    added = await me.post("/memory/add", json={**given, "occurred_at": "2026-03-01T12:00:00+02:00"})
    kept = (await me.get(f"/memory/{added.json()['id']}")).json()

    same = given.keys() - {"sector", "salience"}
    assert {name: kept[name] for name in same} == {name: given[name] for name in same}
    assert kept["primary_sector"] == "semantic"
    assert kept["salience"] == pytest.approx(0.25, abs=1e-3)
    assert kept["occurred_at"] == "2026-03-01T10:00:00Z"


async def test_what_is_left_out_is_null_or_empty(me: httpx2.AsyncClient) -> None:
    kept = (await me.get(f"/memory/{await told(me, 'The ferry leaves at nine')}")).json()

    assert [kept[name] for name in ("user_id", "project_id", "session_id", "speaker")] == [None] * 4
    assert kept["tags"] == []
    assert kept["metadata"] == {}


async def test_the_same_text_again_is_known_under_its_first_id(me: httpx2.AsyncClient) -> None:
    first = await told(me, "The ferry leaves at nine")

    again = (await me.post("/memory/add", json={"content": "the ferry  leaves at nine"})).json()

    assert again["deduplicated"] is True
    assert again["id"] == first


async def test_an_id_that_is_taken_is_a_conflict(me: httpx2.AsyncClient) -> None:
    taken = await told(me, "The ferry leaves at nine")

    response = await me.post("/memory/add", json={"content": "Something else", "id": taken})

    assert [one["field"] for one in problem(response, 409, "memory-exists")["errors"]] == ["id"]


async def test_another_tenants_id_is_free(me: httpx2.AsyncClient, other: httpx2.AsyncClient) -> None:
    theirs = await told(other, "The ferry leaves at nine")

    assert await told(me, "Something else", id=theirs) == theirs


async def test_metadata_sector_counts_where_sector_is_absent(me: httpx2.AsyncClient) -> None:
    body = {"content": "The ferry leaves at nine", "metadata": {"sector": "emotional"}}

    response = await me.post("/memory/add", json=body)

    assert response.json()["primary_sector"] == "emotional"


@pytest.mark.parametrize("sector", ["energy", "Emotional", "", 7, ["emotional"]])
async def test_another_word_in_metadata_sector_is_the_clients_own(me: httpx2.AsyncClient, sector: object) -> None:
    body = {"content": "The ferry leaves at nine", "metadata": {"sector": sector}}

    added = (await me.post("/memory/add", json=body)).json()

    assert added["primary_sector"] == "semantic"
    assert (await me.get(f"/memory/{added['id']}")).json()["metadata"] == {"sector": sector}


@pytest.mark.parametrize(
    ("occurred_at", "kept"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_772_366_400_123, "2026-03-01T12:00:00.123000Z"),
        (1_772_366_400_123.0, "2026-03-01T12:00:00.123000Z"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T12:00:00-08:00", "2026-03-01T20:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999000Z"),
    ],
)
async def test_a_time_is_iso_8601_or_milliseconds(me: httpx2.AsyncClient, occurred_at: object, kept: str) -> None:
    memory = await told(me, "The ferry leaves at nine", occurred_at=occurred_at)

    assert (await me.get(f"/memory/{memory}")).json()["occurred_at"] == kept


@pytest.mark.parametrize(
    "occurred_at",
    [
        *(True, [], {}, 1e300, -1e300, 10**400, 253_402_300_800_000, -62_135_596_800_001),
        *("yesterday", "", "2026-13-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "\ud800", "\0"),
    ],
)
async def test_what_is_no_time_is_malformed(me: httpx2.AsyncClient, occurred_at: object) -> None:
    response = await sent(me, "/memory/add", {"content": "The ferry leaves", "occurred_at": occurred_at})

    assert fields(response) == ["occurred_at"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", None),
        ("content", ""),
        ("content", "  \n"),
        ("content", 7),
        ("content", ["a"]),
        ("content", "a\0b"),
        ("content", "a\ud800b"),
        ("content", "x" * 100_001),
        ("id", "not-a-uuid"),
        ("id", 7),
        ("tags", "abc"),
        ("tags", ["x"] * 65),
        ("metadata", []),
        ("metadata", {"a": "\0"}),
        ("metadata", {"\0": "a"}),
        ("metadata", {"a": "\ud800"}),
        ("metadata", {"a": "x" * 16_384}),
        ("user_id", ""),
        ("user_id", "x" * 129),
        ("user_id", "ü" * 65),
        ("project_id", "a\nb"),
        ("session_id", "a\0b"),
        ("speaker", "\x7f"),
        ("sector", "nonsense"),
        ("salience", -0.1),
        ("salience", 1.1),
        ("salience", "much"),
        ("salience", 10**400),
        ("embedding", []),
        ("embedding", "abc"),
        ("embedding", [0.0] * 256),
        ("embedding", [1e38] * 256),
        ("embedding", [1e-30] * 256),
        ("embedding", [1.0] * 255),
        ("embedding", [1e39] * 256),
    ],
)
async def test_what_cannot_be_kept_is_malformed_and_named(me: httpx2.AsyncClient, field: str, value: object) -> None:
    response = await sent(me, "/memory/add", {"content": "The ferry leaves at nine", field: value})

    assert fields(response) == [field]


@pytest.mark.parametrize("tag", ["", "x" * 257, "ü" * 129, "a\0b", "\ud800", 7])
async def test_a_tag_that_cannot_be_kept_is_named_by_its_place(me: httpx2.AsyncClient, tag: object) -> None:
    response = await sent(me, "/memory/add", {"content": "The ferry leaves at nine", "tags": ["good", tag]})

    assert fields(response) == ["tags[1]"]


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x" * 100_000},
        {"content": "x", "tags": ["ü" * 128] * 64},
        {"content": "x", "metadata": {"a": "x" * (16_384 - 9)}},
        {"content": "x", "user_id": "ü" * 64, "session_id": "x" * 128},
        {"content": "x", "embedding": [1e-3] * 256},
        {"content": "x", "salience": 0},
        {"content": "x", "metadata": {"regex": r"\u0000", "path": "C:\\\\u0000"}},
        {"content": "x", "unknown": "ignored"},
    ],
)
async def test_what_is_just_inside_the_limits_is_kept(me: httpx2.AsyncClient, body: dict[str, object]) -> None:
    response = await me.post("/memory/add", json=body)

    assert response.status_code == 200, response.text
    kept = (await me.get(f"/memory/{response.json()['id']}")).json()
    assert all(kept[name] == value for name, value in body.items() if name in {"content", "tags", "metadata"})
