"""A closed loop of users over keep-alive connections, cheap enough to leave the processors to the server."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import uvloop

from benchmarks import cpu
from benchmarks.serving import HOST, Served

_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request ready to send, and how many things it does (a batch of 200 memories: 200)."""

    raw: bytes
    things: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """What a loop measured: latencies in seconds of answers that were right, ascending, and the others' statuses.

    Status 0 is no answer at all.
    """

    latencies_s: Sequence[float]
    refused: Mapping[int, int]
    things: int
    seconds: float
    used: cpu.Used

    def at(self, share: float) -> float:
        """Return the latency that `share` of the answers did not pass, in milliseconds."""
        if not self.latencies_s:
            return float("nan")
        place = min(len(self.latencies_s) - 1, int(share * len(self.latencies_s)))
        return self.latencies_s[place] * 1000

    def figures(self) -> dict[str, float | str | bool]:
        """Return the figures of this run by name; latencies, and the processor time of each thing done, in ms."""
        return {
            "per_s": round(self.things / self.seconds, 1),
            "p50_ms": round(self.at(0.5), 2),
            "p95_ms": round(self.at(0.95), 2),
            "p99_ms": round(self.at(0.99), 2),
            "max_ms": round(self.at(1), 2),
            "answers": len(self.latencies_s),
            "errors": sum(self.refused.values()),
            "server_cpu_ms": self._each_ms(self.used.server),
            "postgres_cpu_ms": self._each_ms(self.used.postgres),
            "statuses": " ".join(f"{status}:{count}" for status, count in self.refused.items()),
        }

    def _each_ms(self, seconds: float) -> float:
        return round(1000 * seconds / max(1, self.things), 3)


def together(runs: Sequence[Run]) -> Run:
    """Return several runs as one."""
    latencies = sorted(latency for run in runs for latency in run.latencies_s)
    return Run(
        latencies,
        sum((Counter(run.refused) for run in runs), Counter()),
        sum(run.things for run in runs),
        sum(run.seconds for run in runs),
        cpu.Used(sum(run.used.server for run in runs), sum(run.used.postgres for run in runs)),
    )


def post(tenant: str, path: str, content: bytes, things: int = 1) -> Request:
    """Return a POST of JSON as `tenant`."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nx-tenant-id: {tenant}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return Request(head.encode() + content, things)


def delete(tenant: str, path: str) -> Request:
    """Return a DELETE as `tenant`."""
    return Request(f"DELETE {path} HTTP/1.1\r\nhost: {HOST}\r\nx-tenant-id: {tenant}\r\n\r\n".encode())


def run(server: Served, users: int, requests: Iterator[Request], seconds: float) -> Run:
    """Return what `users` measure who send `requests` without pauses, each the next one that nobody has sent.

    Ends after `seconds` or with the last request. What is under way then is awaited and counted.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(server, users, requests, seconds))


async def _run(server: Served, users: int, requests: Iterator[Request], seconds: float) -> Run:
    latencies: list[float] = []
    refused: Counter[int] = Counter()
    done = 0
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, HOST, server.port))[1] for _ in range(users)]
    before = cpu.used(server.pid, server.data_dir)
    start = time.perf_counter()

    async def user(connection: _Connection) -> None:
        nonlocal done
        for request in requests:
            sent = time.perf_counter()
            if sent - start >= seconds:
                return
            status = await connection.ask(request.raw)
            if status == 200:
                latencies.append(time.perf_counter() - sent)
                done += request.things
            else:
                refused[status] += 1

    try:
        await asyncio.gather(*(user(connection) for connection in connections))
        took_s = time.perf_counter() - start
        used = cpu.used(server.pid, server.data_dir).since(before)
        return Run(sorted(latencies), refused, done, took_s, used)
    finally:
        for connection in connections:
            connection.close()


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time; reads no more of an answer than its length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Answer the one who waits when the whole answer is there."""
        self._received = self._received + data if self._received else data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        length = self._received.find(b"content-length: ", 0, head)
        stop = self._received.find(b"\r\n", length)
        if len(self._received) < head + 4 + int(self._received[length + 16 : stop]):
            return
        status, self._received = int(self._received[9:12]), b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the one who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    async def ask(self, raw: bytes) -> int:
        """Send a request and return the status of its answer, 0 if there was none."""
        assert self._transport is not None
        if self._transport.is_closing():
            return 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._answer, _ANSWER_S)
        return 0

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
