"""Requests as they go over a real connection, whole or not."""

import json
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

from tests.server.serving import PATIENCE_S

ADD = json.dumps({"content": "The ferry leaves at nine"}).encode()
QUERY = json.dumps({"query": "ferry"}).encode()


def connected(url: str) -> HTTPConnection:
    """Return a connection to a server."""
    return HTTPConnection(urlsplit(url).hostname or "", urlsplit(url).port, timeout=PATIENCE_S)


def a_request(
    path: str, body: bytes, tenant: str, *headers: str, length: int | None = None, method: str = "POST"
) -> bytes:
    """Return a request as it goes over the wire; `length` is what it says of its body, by default the truth."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"x-tenant-id: {tenant}", "content-type: application/json"]
    lines += headers or [f"content-length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def dialled(url: str) -> socket.socket:
    """Return a bare connection to a server."""
    return socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=PATIENCE_S)


def status_of(connection: socket.socket) -> int:
    """Return the status of the answer that comes next."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def works(url: str, tenant: str) -> bool:
    """Return whether a tenant's write and question are answered."""
    with closing(connected(url)) as connection:
        for path, body in (("/memory/add", ADD), ("/memory/query", QUERY)):
            headers = {"x-tenant-id": tenant, "content-type": "application/json"}
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                return False
    return True
