"""Requests that no client should send: whatever they are, none is answered 5xx."""

import json
from collections.abc import Iterable
from typing import cast
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from openmemory.wire import AddRequest, PatchRequest, QueryRequest, ReinforceRequest
from tests.factories import a_tenant
from tests.server.asking import HERE, a_client, problem, told

TENANT = a_tenant()
MEMORY = "00000000-0000-4000-8000-00000000000a"

ODD_TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "\0",
            "\ud800",
            "a\udfffb",
            "\u202e",
            "🎈" * 50,
            "'; DROP TABLE memories; --",
            "%s",
            "{}",
            "\\u0000",
        ),
        *("0001-01-01", "9999-12-31T23:59:59.999999Z", "-1", "1e999", "NaN", "x" * 5_000, MEMORY, "ada", "semantic"),
        *("yesterday", "last year in 9999", "in 0001", "the 31st of February", "December 0000", "2026-W01-1", "null"),
    ]
)
ODD_NUMBERS = st.sampled_from(
    [0, -0.0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 1e308, 1e-320, float("nan"), float("inf"), 1e39, 0.1]
)
ODD = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.text(max_size=20) | st.floats() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXTS | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
) | st.sampled_from([[0.5] * 256, [1e39] * 256, [float("nan")] * 256, ["0.5"] * 256, [10**400] * 256])
FIELDS = sorted(
    {
        *(name for model in (AddRequest, PatchRequest, QueryRequest, ReinforceRequest) for name in model.model_fields),
        *("top_k", "limit", "filter", "items", "partial"),
    }
)
# Bodies that are nearly right reach further than those that are odd everywhere.
PLAUSIBLE = {
    "content": st.just("The ferry leaves at nine"),
    "query": st.just("When does the ferry leave?"),
    "id": st.sampled_from([MEMORY, "nonsense"]),
    "items": st.lists(st.just({"content": "The ferry leaves"}) | ODD, max_size=3),
    "embedding": st.just([0.5] * 256),
}


def objects() -> st.SearchStrategy[dict[str, object]]:
    """Return objects with the fields of requests, odd or plausible."""
    odd = st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=4)
    plausible = st.fixed_dictionaries({}, optional=PLAUSIBLE)
    return st.tuples(odd, plausible).map(lambda parts: {**parts[0], **parts[1]})


NESTED = st.sampled_from([b"[" * 3_000, b'{"a":' * 3_000, b'{"metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301])
BODIES = (
    objects().map(lambda body: json.dumps(body).encode())
    | objects().map(lambda body: json.dumps({**body, "filters": body}).encode())
    | ODD.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=200)
    | NESTED
    | objects().map(lambda body: json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    | objects().map(lambda body: json.dumps(body).encode("utf-16"))
)
PATHS = st.sampled_from(
    [
        *(
            "/memory/add",
            "/memory/add/batch",
            "/memory/query",
            "/memory/reinforce",
            "/memory/all",
            "/sectors",
            "/health",
        ),
        *(f"/memory/{MEMORY}", "/memory/%00", "/memory/%ff", "/memory/x", "/users/ada/memories", "/users/%00/memories"),
        *(
            "/users/%F0%9F%8E%88/memories",
            "/ready",
            "/metrics",
            "/openapi.json",
            "/",
            "//",
            "/memory/",
            "/memory/a%2Fb",
        ),
    ]
)
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "l", "offset", "u", "cursor", "sector", "user_id", "project_id", "session_id", "x"]),
    st.sampled_from(
        ["", "0", "1", "-1", "9" * 30, "9" * 5_000, "%00", "%ff", "%ed%a0%80", "semantic", "ada", "1e3", "NaN"]
    ),
    max_size=3,
).map(lambda given: "&".join(f"{name}={value}" for name, value in given.items()).encode()) | st.binary(max_size=30)
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"", b'"1"', b"*", b"\xff", b"1" * 300, b"9" * 5_000, b"chunked", b"a\0b"]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"idempotency-key", b"if-match", b"content-length", b"transfer-encoding", b"x-api-key", b"accept"]
        ),
        VALUES,
    )
    | st.tuples(
        st.sampled_from([b"content-type", b"x-tenant-id", b"authorization", b"host", b"origin", b"cookie"]), VALUES
    ),
    max_size=2,
)


async def status_of(
    api: FastAPI, method: str, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> int:
    """Return the status of a request made as a server hands it on, however odd."""
    given = dict(headers)
    rest = [(b"host", b"127.0.0.1"), (b"x-tenant-id", TENANT.encode()), (b"content-type", b"application/json")]
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"},
        **{"path": unquote(path), "raw_path": path.encode(), "query_string": query, "root_path": ""},
        **{"headers": [*headers, *(one for one in rest if one[0] not in given)], "client": HERE, "server": HERE},
    }
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(cast(int, message["status"]))

    await api(scope, receive, send)  # type: ignore[arg-type]  # a server's messages, made by hand
    return statuses[0]


@pytest.fixture(scope="session")
async def known(api: FastAPI) -> FastAPI:
    """Return the application with memories that odd requests may hit, at the ends of time too."""
    async with a_client(api, TENANT) as client:
        await told(client, "The ferry leaves at nine", id=MEMORY, user_id="ada", speaker="Ada", session_id="s1")
        await told(client, "The ferry was built", occurred_at="0001-01-01T00:00:00Z", session_id="s1")
        await told(client, "The ferry is gone", occurred_at="9999-12-31T23:59:59.999Z", session_id="s1")
    return api


@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "BREW"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=BODIES,
)
@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
async def test_no_request_is_answered_5xx(
    known: FastAPI, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    assert 200 <= await status_of(known, method, path, query, headers, body) < 500


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/memory/{name}") for name in ("add", "add/batch", "query", "reinforce")),
        ("PATCH", f"/memory/{MEMORY}"),
    ],
)
@given(body=BODIES)
@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
async def test_no_body_is_answered_5xx(known: FastAPI, method: str, path: str, body: bytes) -> None:
    assert 200 <= await status_of(known, method, path, b"", [], body) < 500


@pytest.mark.parametrize(
    ("path", "field", "said"),
    [
        ("/users/%fe/memories", "url", "holds bytes that are no UTF-8"),
        ("/memory/all?user_id=%ff", "url", "holds bytes that are no UTF-8"),
        ("/memory/all?user_id=ada&user_id=ben", "user_id", "is given more than once"),
        ("/memory/all?limit=1&limit=1", "limit", "is given more than once"),
        ("/memory/all?" + "&".join(f"p{n}=" for n in range(101)), "url", "has too many parameters"),
    ],
)
async def test_a_target_that_can_be_read_two_ways_is_refused(
    me: httpx2.AsyncClient, path: str, field: str, said: str
) -> None:
    response = await me.get(path)

    assert problem(response, 400, "malformed")["errors"] == [{"field": field, "message": said}]


async def test_a_user_with_a_slash_in_its_name_is_listed_and_forgotten(me: httpx2.AsyncClient) -> None:
    await told(me, "The ferry leaves at nine", user_id="team/ada")

    listed = (await me.get("/users/team%2Fada/memories")).json()
    forgotten = (await me.delete("/users/team%2Fada/memories")).json()

    assert [item["user_id"] for item in listed["items"]] == ["team/ada"]
    assert forgotten["deleted"] == 1
