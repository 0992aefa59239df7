"""Connections that ignore an Upgrade header and stay with HTTP/1.1."""

import sys
from contextlib import suppress

from httptools import HttpRequestParser

from openmemory.server.connections import BoundedConnection

_TUNNEL = b"CONNECT"  # which the parser takes for an upgrade even without the header


class PlainConnection(BoundedConnection):
    """A connection that answers a request with an Upgrade header like any other (RFC 9110, 7.8).

    The parser stops behind the head of such a request: it takes the body for data of the other protocol. So the request
    is read again without the header. Some clients (Java's, curl --http2) ask for HTTP/2 with every request.
    """

    _came = b""
    _again = b""

    def data_received(self, data: bytes) -> None:
        """Read on, and read a request again where the parser stopped."""
        while data:
            self._came, self._again = data, b""
            super().data_received(data)
            data = self._again
        self._came = b""  # a connection may idle for long, and this may be 256 KiB

    def on_headers_complete(self) -> None:
        """End a head, unless it is to be read again."""
        if self._is_to_be_read_anew():
            self._stop_waiting()  # the head is complete: what follows counts as its body
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request, unless it is to be read again."""
        if not self._is_to_be_read_anew():
            super().on_message_complete()

    def _is_to_be_read_anew(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != _TUNNEL

    def _unsupported_upgrade_warning(self) -> None:
        """Have the request read again. Log nothing: any client can send the header."""
        stopped = sys.exc_info()[1]
        if self._is_to_be_read_anew() and stopped is not None:
            self._again = self._plain_head() + self._came[stopped.args[0] :]
            self.parser = HttpRequestParser(self)
            with suppress(AttributeError):  # as Uvicorn does; httptools before 0.6.3 is lenient anyway
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _plain_head(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b" ".join((self.parser.get_method(), self.url, b"HTTP/" + version))]
        for name, value in self.headers:
            if name == b"connection":
                kept = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
                lines.append(b"connection: " + b",".join(kept))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])
