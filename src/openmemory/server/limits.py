"""What one request and one tenant may take."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmemory.errors import MediaTypeUnsupported, OpenMemoryError, RateLimited, TooLarge
from openmemory.server.problems import answer

_BATCH_PATHS = ("/memory/add/batch",)
_LENGTH_DIGITS = 15
_JSON = re.compile(r"application/(?:[!#$&^_.+a-z0-9-]+\+)?json")


@dataclass(slots=True)
class _Places:
    free: asyncio.Semaphore
    users: int = 0


class Shares:
    """Lets each tenant work on so many requests at once; more wait their turn for a while."""

    def __init__(self, at_once: int, wait_s: float) -> None:
        self._at_once = at_once
        self._wait_s = wait_s
        self._busy: dict[str, _Places] = {}

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Hold one of the tenant's places; raises RateLimited after waiting in vain."""
        places = self._busy.setdefault(tenant, _Places(asyncio.Semaphore(self._at_once)))
        places.users += 1
        try:
            await self._acquire(places.free)
            try:
                yield
            finally:
                places.free.release()
        finally:
            places.users -= 1
            if not places.users:
                del self._busy[tenant]

    async def _acquire(self, free: asyncio.Semaphore) -> None:
        if not free.locked():
            await free.acquire()
            return
        try:
            await asyncio.wait_for(free.acquire(), self._wait_s)
        except TimeoutError as error:
            raise RateLimited(
                f"this tenant has {self._at_once} requests at work already (OM_TENANT_CONCURRENCY); try again", 1
            ) from error


class BodyLimit:
    """Refuses bodies that are too large, while they arrive, and bodies that are not JSON."""

    def __init__(self, app: ASGIApp, most_bytes: int, batch_bytes: int) -> None:
        self._app = app
        self._most = most_bytes
        self._batch = batch_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._batch if scope["path"] in _BATCH_PATHS else self._most
        headers = Headers(scope=scope)
        refusal = _refusal(headers, most)
        if refusal is not None:
            await answer(refusal, scope["path"])(scope, receive, send)
            return
        await self._app(scope, _counted(receive, most), send)


def _refusal(headers: Headers, most: int) -> OpenMemoryError | None:
    length = headers.get("content-length", "0").lstrip("0")
    if length.isdecimal() and (len(length) > _LENGTH_DIGITS or int(length) > most):
        return _too_large(most)
    has_body = length != "" or "transfer-encoding" in headers
    return _not_json(headers.get("content-type")) if has_body else None


def _not_json(media: str | None) -> OpenMemoryError | None:
    if media is None:
        return MediaTypeUnsupported("content-type is missing; send application/json")
    name = media.partition(";")[0].strip().lower()
    if _JSON.fullmatch(name):
        return None
    return MediaTypeUnsupported(f"content-type is {name[:80]!r}; send application/json")


def _counted(receive: Receive, most: int) -> Receive:
    """Return `receive` that raises TooLarge, in whoever reads the body, once there is too much of it."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is over {most} bytes; send less at once")
