"""Limits on what one request may bring: its URL, its media type, and the size and speed of its body."""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmemory.errors import Malformed, MediaTypeUnsupported, OpenMemoryError, RequestTimeout, TooLarge
from openmemory.server.auth import Asker
from openmemory.server.body_room import BodyRoom, Room
from openmemory.server.problems import answer

_BATCH_PATHS = ("/memory/add/batch",)
_LENGTH_DIGITS = 15
_NAME_MAX_CHARS = 80
_PARAMETERS_MOST = 100
_VALUES_AT_LEAST = 4_000_000
_NUMBER_BYTES = 8
_JSON = re.compile(r"application/(?:[!#$&^_.+a-z0-9-]+\+)?json")


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest bodies accepted, and how long one may take to arrive: in all, and between two pieces."""

    body_bytes: int = 1024**2
    batch_bytes: int = 32 * 1024**2
    arrival_s: float = 300
    silence_s: float = 20
    bodies_of_a_tenant: int = 8

    @property
    def values(self) -> int:
        """The most values of a body: the numbers of eight characters that fill the largest one, at least 4,000,000."""
        return max(_VALUES_AT_LEAST, max(self.body_bytes, self.batch_bytes) // _NUMBER_BYTES)

    @property
    def together_bytes(self) -> int:
        """The most bytes of bodies of all tenants at once: twice as many as one tenant can send.

        The first bytes of each body come on top: `Room` does not count them.
        """
        return 2 * self.bodies_of_a_tenant * max(self.body_bytes, self.batch_bytes)


class RequestLimit:
    """Refuses ambiguous URLs, bodies that are not plain JSON, and bodies that arrive too large or too slowly."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._room = Room(limits.together_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._limits.batch_bytes if scope["path"] in _BATCH_PATHS else self._limits.body_bytes
        headers = Headers(scope=scope)
        refusal = _unclear(scope) or _refusal(headers, most)
        if refusal is not None:
            await answer(refusal, scope["path"])(scope, receive, send)
            return
        room = self._room.body(_tenant(scope), _promised_bytes(headers))
        try:
            await self._app(scope, _Arrival(receive, most, self._limits, room).receive, send)
        finally:
            room.give_back()


def _tenant(scope: Scope) -> str:
    """Return the authenticated tenant, or "" on the public paths, which read no body."""
    asker: Asker | None = scope.get("state", {}).get("asker")
    return "" if asker is None else asker.tenant


def _unclear(scope: Scope) -> OpenMemoryError | None:
    """Return what is wrong with a path or a query string: bytes that are no UTF-8, or a parameter twice."""
    path = scope.get("raw_path") or b""
    if not scope["query_string"] and path.isascii() and b"%" not in path:
        return None
    try:
        unquote_to_bytes(path).decode()
        query = scope["query_string"].decode("ascii")
        names = [name for name, _ in parse_qsl(query, True, errors="strict", max_num_fields=_PARAMETERS_MOST)]
    except UnicodeDecodeError:
        return Malformed.at("url", "holds bytes that are no UTF-8")
    except ValueError:
        return Malformed.at("url", "has too many parameters")
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    return Malformed.at(twice[:_NAME_MAX_CHARS], "is given more than once") if twice is not None else None


def _refusal(headers: Headers, most: int) -> OpenMemoryError | None:
    length = _length(headers)
    if length.isdecimal() and (len(length) > _LENGTH_DIGITS or int(length) > most):
        return _too_large(most)
    has_body = length != "" or "transfer-encoding" in headers
    return (_encoded(headers) or _not_json(headers.get("content-type"))) if has_body else None


def _promised_bytes(headers: Headers) -> int:
    length = _length(headers)
    return int(length) if length.isdecimal() else 0


def _length(headers: Headers) -> str:
    return headers.get("content-length", "0").lstrip("0")


def _encoded(headers: Headers) -> OpenMemoryError | None:
    codings = ", ".join(headers.getlist("content-encoding"))
    if all(coding.strip().lower() in {"", "identity"} for coding in codings.split(",")):
        return None
    return MediaTypeUnsupported(f"content-encoding is {codings[:80]!r}; send the body as it is, without one")


def _not_json(media: str | None) -> OpenMemoryError | None:
    if media is None:
        return MediaTypeUnsupported("content-type is missing; send application/json")
    name = media.partition(";")[0].strip().lower()
    if _JSON.fullmatch(name):
        return None
    return MediaTypeUnsupported(f"content-type is {name[:80]!r}; send application/json")


class _Arrival:
    """A body as it arrives: reading it raises an error once it is too large or too slow."""

    def __init__(self, receive: Receive, most_bytes: int, limits: Limits, room: BodyRoom) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._limits = limits
        self._room = room
        self._size = 0
        self._ends_s: float | None = None
        self._is_whole = False

    async def receive(self) -> Message:
        """Return the next message; raises TooLarge, Overloaded, and RequestTimeout while the body is not whole."""
        message = await (self._receive() if self._is_whole else self._in_time())
        self._is_whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._most_bytes:
            raise _too_large(self._most_bytes)
        self._room.grow(self._size)
        return message

    async def _in_time(self) -> Message:
        now_s = asyncio.get_running_loop().time()
        if self._ends_s is None:
            self._ends_s = now_s + self._limits.arrival_s
        silent_s = now_s + self._limits.silence_s
        try:
            async with asyncio.timeout_at(min(self._ends_s, silent_s)):
                return await self._receive()
        except TimeoutError as error:
            raise self._too_slow(is_silent=silent_s < self._ends_s) from error

    def _too_slow(self, *, is_silent: bool) -> RequestTimeout:
        if is_silent:
            return RequestTimeout(
                f"no more of the body came for {self._limits.silence_s:g} s; send it again as a whole"
            )
        return RequestTimeout(f"the body was not whole after {self._limits.arrival_s:g} s; send less at once")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is over {most} bytes; send less at once")
