"""A real HTTP server in a thread of the test process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from openmemory.server.connections import BoundedConnection
from openmemory.server.without_upgrade import PlainConnection

PATIENCE_S = 60


class _Server(uvicorn.Server):
    """Uvicorn that says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self.answers.set()


@contextmanager
def serving(app: FastAPI, http: type[BoundedConnection] = PlainConnection) -> Iterator[str]:
    """Yield the address of a server that answers with `app`, configured as `openmemory serve` does."""
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    server = _Server(config)
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, args=([listening],), name="server")
    thread.start()
    try:
        assert server.answers.wait(PATIENCE_S), "the server did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listening.close()
