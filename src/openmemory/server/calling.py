"""What every call needs: its caller, a place among its tenant's requests, and the answer to a write."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from pydantic_core import to_json, to_jsonable_python
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from openmemory.core.memory import JsonValue
from openmemory.core.scope import Scope
from openmemory.errors import Malformed, MemoryNotFound, OpenMemoryError
from openmemory.server.auth import Asker, HeaderAuth
from openmemory.server.problems import answer
from openmemory.service.clock import Clock
from openmemory.service.idempotency import Idempotency, Result, Seal
from openmemory.service.memories import Memories
from openmemory.service.search import Search
from openmemory.service.shares import Shares
from openmemory.service.tenants import Tenants

PUBLIC_PATHS = frozenset({"/health", "/ready", "/metrics", "/openapi.json"})
_JSON = "application/json"
_KEY_MAX_BYTES = 255


@dataclass(frozen=True, slots=True)
class Services:
    """The services that the calls use; built once in `app`."""

    memories: Memories
    search: Search
    tenants: Tenants
    idempotency: Idempotency
    shares: Shares
    clock: Clock


@dataclass(frozen=True, slots=True)
class Caller:
    """A proved and admitted tenant, and the credential's name."""

    scope: Scope
    credential: str


class Authenticated:
    """Authenticates each request before its body is read; a few paths are public."""

    def __init__(self, app: ASGIApp, auth: HeaderAuth) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS:
            try:
                scope.setdefault("state", {})["asker"] = self._auth.authenticate(Request(scope))
            except OpenMemoryError as error:
                await answer(error, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def services(request: Request) -> Services:
    """Return the services of the application."""
    # A coroutine: FastAPI would run a plain function in a thread, which costs more than all the rest of a call.
    found: Services = request.app.state.services
    return found


@asynccontextmanager
async def place(request: Request) -> AsyncIterator[None]:
    """Hold one of the tenant's places inside the block."""
    asker: Asker = request.state.asker
    async with (await services(request)).shares.turn(asker.tenant):
        yield


async def admitted(request: Request) -> Caller:
    """Return the caller after its tenant is admitted; raises TenantForbidden."""
    asker: Asker = request.state.asker
    return Caller(await (await services(request)).tenants.admit(asker.tenant), asker.credential)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body: the first answer again, for 24 hours.",
        json_schema_extra={"minLength": 1, "maxLength": _KEY_MAX_BYTES},
    ),
]


async def write(
    request: Request,
    who: Caller,
    key: str | None,
    action: Callable[[Seal[Result] | None], Awaitable[Result]],
    encode: Callable[[Result], object],
) -> Response:
    """Run a write and answer with its encoded result; with an Idempotency-Key, run it only once."""
    if key is None:
        return shown(encode(await action(None)))
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Malformed.at("Idempotency-Key", "is given more than once")
    sent = len(key.encode("latin-1"))  # ASGI servers decode headers so: one character for each byte
    if not 1 <= sent <= _KEY_MAX_BYTES:
        raise Malformed.at("Idempotency-Key", f"has {sent} bytes; 1 to {_KEY_MAX_BYTES} are allowed")

    def answered(result: Result) -> JsonValue:
        body: JsonValue = to_jsonable_python(encode(result))
        return body

    digest = await _digest(request)
    once = (await services(request)).idempotency.once
    outcome = await once(who.scope, who.credential, key, digest, action, answered)
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    return Response(orjson.dumps(outcome.answer), headers=headers, media_type=_JSON)


def shown(result: object) -> Response:
    """Return an answer of `wire` as JSON; its shape is right by construction and is not checked again.

    A number that no float holds, which only SQL puts into a row, is null: JSON knows no Infinity.
    """
    return Response(to_json(result, inf_nan_mode="null"), media_type=_JSON)


def memory_id(text: str) -> UUID:
    """Return the id in a path; raises MemoryNotFound for a text that is no UUID."""
    try:
        return UUID(text)
    except ValueError as error:
        raise MemoryNotFound(f"memory {text[:80]}") from error


def narrowed(who: Caller, user_id: str | None = None, project_id: str | None = None) -> Scope:
    """Return the caller's scope for one user or project."""
    return who.scope.narrowed(user_id, project_id)


async def _digest(request: Request) -> bytes:
    scope = request.scope
    target = f"{scope['method']} {scope['path']}?".encode(errors="replace") + scope["query_string"] + b"\n"
    versions = ", ".join(request.headers.getlist("if-match")).encode(errors="replace") + b"\n"
    return hashlib.sha256(target + versions + await request.body()).digest()


Called = Annotated[Caller, Depends(admitted)]
Parts = Annotated[Services, Depends(services)]
