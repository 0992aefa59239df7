"""Connections that limit the size and the time of a request's head, and answer bad HTTP with a problem."""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openmemory.errors import Malformed, OpenMemoryError, RequestTimeout, TooLarge
from openmemory.server.problems import answer

_URL_MOST_BYTES = 65_535


class BoundedConnection(HttpToolsProtocol):
    """A connection that reads at most `head_bytes` of a request's head, and waits at most `head_s` for all of it.

    Nobody is authenticated before the head is complete: until then only these limits protect memory and connections.
    """

    head_bytes = 64 * 1024
    head_s = 20.0

    _head_ends: asyncio.TimerHandle | None = None
    _seen_bytes = 0
    _is_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn has it
        """Wait for the first request."""
        super().connection_made(_Together(transport, self.loop))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head becomes too large."""
        self._seen_bytes += len(data)
        super().data_received(data)
        if self._head_ends is not None and self._seen_bytes > self.head_bytes:
            self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._is_begun = True
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """End a head."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and a URL of so many bytes that httptools does not split it."""
        if len(getattr(self, "url", b"")) > _URL_MOST_BYTES:  # there is none before the first request
            self._refuse(self._too_large())
            return
        wrong = "a header, the request's line or a chunk's size is malformed"
        self._refuse(Malformed(f"this is no HTTP that can be read: {wrong}"))

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the request's line and headers have more than {self.head_bytes:,} bytes")

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._seen_bytes = 0
        self._head_ends = self.loop.call_later(self.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None

    def _give_up(self) -> None:
        if not self._is_begun:
            # An idle connection: its client would take an answer for that to its next request.
            self.transport.close()
            return
        self._refuse(RequestTimeout(f"no whole head of a request came in {self.head_s:g} s; send it again"))

    def _refuse(self, error: OpenMemoryError) -> None:
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self._is_between_answers():
            self.transport.write(_on_the_wire(error))
        self.transport.close()

    def _is_between_answers(self) -> bool:
        """Return whether an error can be written now: not inside another answer, and not before one that is owed."""
        if getattr(self.cycle, "response_complete", True):  # there is none before the first request
            return True
        return not self.cycle.response_started and not self.pipeline


class _Together:
    """A transport that joins all writes of one step of the event loop, such as an answer's head and its body.

    Otherwise each write would be a system call and a packet of its own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` together with the other writes of this step."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()


def _on_the_wire(error: OpenMemoryError) -> bytes:
    """Return a problem as a whole HTTP answer that ends its connection."""
    response = answer(error, "/")
    status = HTTPStatus(response.status_code)
    headers = {**dict(response.raw_headers), b"connection": b"close"}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(b": ".join(one) for one in headers.items())]
    return b"\r\n".join([*lines, b"", bytes(response.body)])
