"""A pooler in front of PostgreSQL, as far as a session is concerned: it lives on when its client leaves."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer
from threading import Thread

_TERMINATE = b"X\x00\x00\x00\x04"


@contextmanager
def pooled(conninfo: Mapping[str, str], folder: Path) -> Iterator[Mapping[str, str]]:
    """Yield the way to the same database past a pooler in `folder`; the sessions end with the block."""
    sessions: list[socket.socket] = []

    class Client(BaseRequestHandler):
        """Passes on what one client and its session say, but not that the client leaves."""

        def handle(self) -> None:
            session = _session(conninfo["host"], conninfo["port"])
            sessions.append(session)
            Thread(target=_pass, args=(session, self.request), daemon=True).start()
            _pass(self.request, session)

    with ThreadingUnixStreamServer(str(folder / ".s.PGSQL.5432"), Client) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield {**conninfo, "host": str(folder), "port": "5432"}
        finally:
            server.shutdown()
            serving.join()
            for session in sessions:
                with closing(session), suppress(OSError):
                    session.shutdown(socket.SHUT_RDWR)


def _session(host: str, port: str) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, int(port)))
    session = socket.socket(socket.AF_UNIX)
    session.connect(f"{host}/.s.PGSQL.{port}")
    return session


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data.removesuffix(_TERMINATE))
