"""What one request may bring."""

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmemory.errors import Malformed, MediaTypeUnsupported, OpenMemoryError, TooLarge
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
    """The largest bodies taken."""

    body_bytes: int = 1024**2
    batch_bytes: int = 32 * 1024**2

    @property
    def values(self) -> int:
        """How many values a body may have: as many numbers as the largest can spell out with eight characters each."""
        return max(_VALUES_AT_LEAST, max(self.body_bytes, self.batch_bytes) // _NUMBER_BYTES)


class RequestLimit:
    """Refuses bodies that are too large, while they arrive, or no plain JSON; and targets that can be read two ways."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

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
        await self._app(scope, _counted(receive, most), send)


def _unclear(scope: Scope) -> OpenMemoryError | None:
    """Return what is wrong with a path or a query string: bytes that are no UTF-8, or a parameter twice."""
    try:
        unquote_to_bytes(scope.get("raw_path") or b"").decode()
        query = scope["query_string"].decode("ascii")
        names = [name for name, _ in parse_qsl(query, True, errors="strict", max_num_fields=_PARAMETERS_MOST)]
    except UnicodeDecodeError:
        return Malformed.at("url", "holds bytes that are no UTF-8")
    except ValueError:
        return Malformed.at("url", "has too many parameters")
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    return Malformed.at(twice[:_NAME_MAX_CHARS], "is given more than once") if twice is not None else None


def _refusal(headers: Headers, most: int) -> OpenMemoryError | None:
    length = headers.get("content-length", "0").lstrip("0")
    if length.isdecimal() and (len(length) > _LENGTH_DIGITS or int(length) > most):
        return _too_large(most)
    has_body = length != "" or "transfer-encoding" in headers
    return (_encoded(headers) or _not_json(headers.get("content-type"))) if has_body else None


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
