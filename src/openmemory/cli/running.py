"""Run a server: open its port, its database and its application, and close them in order."""

import asyncio
import errno
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import structlog
import uvicorn

from openmemory import app
from openmemory.adapters.embedders import Embedder, StaticEmbedder
from openmemory.cli.banner import show_banner, url_of
from openmemory.cli.printing import console, progress, warn
from openmemory.errors import ConfigurationError
from openmemory.server.telemetry import configure_logging
from openmemory.settings import Settings

_ALLOCATIONS_A_COLLECTION = 50_000
# Whoever stops a container kills it 10 s later; what is cut off has still to be answered, and PostgreSQL to be stopped.
_GRACE_S = 5
_BACKLOG = 2048

log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Serve until a signal comes; raises ConfigurationError or DatabaseUnavailable if that cannot begin.

    The port is taken first, so that a busy one costs nothing, and early clients wait instead of being refused.
    """
    configure_logging(settings.logging.level, settings.logging.format)
    _hear_libraries()
    for_people = console(stderr=True).is_terminal and settings.logging.format != "json"
    for warning in settings.warnings:
        warn(warning) if for_people else log.warning("settings.warning", warning=warning)
    with ExitStack() as left:
        sockets = [left.enter_context(taken) for taken in _listen(settings.server.host, settings.server.port)]
        with progress("opening the database") if for_people else _logged() as on_event:
            embedder = app.create_embedder(settings, on_event)
            _warm_up(embedder)
            logins = left.enter_context(app.reached(settings, on_event))
            ready = app.make_ready(settings, logins, embedder, on_event)
        for warning in ready.warnings:
            warn(warning) if for_people else log.warning("database.warning", warning=warning)
        server = _Server(
            uvicorn.Config(
                app.create_app(settings, ready, embedder),
                http=_protocol(),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            ),
            lambda: show_banner(settings) if for_people else _announce(settings),
        )
        _serve(server, sockets)
        if for_people:
            console(stderr=True).print("stopping", style="dim")
    if not for_people:
        log.info("server.stopped")


class _Server(uvicorn.Server):
    """Uvicorn that calls `on_started` once it answers."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            _rarely_collect_garbage()
            self._on_started()


def _protocol() -> "type[asyncio.Protocol] | str":
    """Return the protocol that reads requests from connections; httptools does not exist on Windows."""
    if sys.platform == "win32":
        return "auto"
    from openmemory.server.without_upgrade import PlainConnection

    return PlainConnection


def _rarely_collect_garbage() -> None:
    """Exempt loaded objects from garbage collection, and collect after more allocations than a request makes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_A_COLLECTION, 20, 20)


def _serve(server: _Server, sockets: list[socket.socket]) -> None:
    """Answer requests until SIGINT or SIGTERM; those in flight are finished.

    Uvicorn raises the signal again at its end; this is no failure.
    """
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets)
    except SystemExit as error:
        raise ConfigurationError("the server did not start; its log says why") from error


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on the addresses of `host`; raises ConfigurationError naming OM_PORT or OM_HOST."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"OM_HOST={host} is no address of this machine: {error.strerror}") from error
    places = dict.fromkeys((family, address) for family, *_, address in found)
    absent: OSError | None = None
    with ExitStack() as left:
        taken = []
        for family, address in places:
            try:
                taken.append(left.enter_context(_bound(family, address, alone=len(places) == 1)))
            except OSError as error:
                # A name such as localhost may have an IPv6 address on a machine without IPv6.
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise _refusal(address, error) from error
                absent = error
        if not taken and absent is not None:
            raise _refusal((host, port), absent) from absent
        left.pop_all()
    return taken


def _bound(family: int, address: tuple[object, ...], *, alone: bool) -> socket.socket:
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and not alone:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(address)
        taken.listen(_BACKLOG)
    except OSError:
        taken.close()
        raise
    return taken


def _refusal(address: tuple[object, ...], error: OSError) -> ConfigurationError:
    host, port = address[:2]
    return ConfigurationError(
        f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}. Set OM_PORT (or --port) to a free port,"
        " or OM_HOST to an address of this machine"
    )


def _warm_up(embedder: Embedder) -> None:
    """Read the token table while PostgreSQL starts, so that the first question does not wait for it."""
    if isinstance(embedder, StaticEmbedder):
        # No daemon thread: if native code still runs in one when the process ends, the C library aborts the process.
        threading.Thread(target=embedder.load, name="openmemory-table").start()


def _announce(settings: Settings) -> None:
    server, database = settings.server, settings.database
    folder = str(app.data_folder(settings)) if database.embedded else None
    log.info("server.started", url=url_of(server.host, server.port), host=server.host, data_folder=folder)


@contextmanager
def _logged() -> Iterator[Callable[[str], None]]:
    yield lambda event: log.info("database.opening", step=event)


class _ToStructlog(logging.Handler):
    """Passes the log records of libraries to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log `record` under its logger's name."""
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def _hear_libraries() -> None:
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)
