"""A provider of embeddings in the test's own loop, on 127.0.0.1, that answers as the test says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import uvicorn

Message = MutableMapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one request gets."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    pause_s: float | None = None
    """Between one byte and the next; None: all come at once."""


class Texts(list[str]):
    """The texts of a request, and the `dimensions` that it asks for."""

    dimensions: int | None = None


@dataclass
class Provider:
    """Answers each request by the next reply, the last one again and again; None: never answers."""

    replies: Sequence[Callable[[Texts], Answer] | None]
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the base that an embedder is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def inputs(self) -> list[list[str]]:
        """Return the texts of each request."""
        return [body["input"] for body in self.bodies]

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one request (ASGI)."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.paths.append(scope["path"])
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        self.bodies.append(orjson.loads(body))
        reply = self.replies[min(len(self.bodies), len(self.replies)) - 1]
        if reply is None:
            await receive()  # comes when the client has gone
            return
        texts = Texts(self.inputs[-1])
        texts.dimensions = self.bodies[-1].get("dimensions")
        answer = reply(texts)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        if answer.pause_s is not None:
            for byte in answer.body[:-1]:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await asyncio.sleep(answer.pause_s)
        await send({"type": "http.response.body", "body": answer.body if answer.pause_s is None else answer.body[-1:]})


@asynccontextmanager
async def serving(*replies: Callable[[Texts], Answer] | None) -> AsyncIterator[Provider]:
    """Yield a provider that listens."""
    provider = Provider(replies)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        provider.port = listener.getsockname()[1]
        config = uvicorn.Config(provider, lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve([listener]))  # `serve` would take the process's signals
        yield provider
        server.should_exit = server.force_exit = True
        await running


def vectors_of(texts: list[str]) -> list[list[float]]:
    """Return a vector of three numbers a text: its length, 1 and 0."""
    return [[float(len(text)), 1.0, 0.0] for text in texts]


def well(texts: list[str]) -> Answer:
    """Answer as OpenAI does."""
    return rows([{"index": place, "embedding": vector} for place, vector in enumerate(vectors_of(texts))])


def dripping(texts: list[str]) -> Answer:
    """Answer rightly, but byte by byte."""
    return replace(well(texts), pause_s=0.02)


def backwards(texts: list[str]) -> Answer:
    """Answer rightly, the last text first."""
    return rows([{"index": place, "embedding": vector} for place, vector in enumerate(vectors_of(texts))][::-1])


def rows(data: list[dict[str, Any]]) -> Answer:
    """Answer with these rows."""
    return Answer(orjson.dumps({"object": "list", "data": data}))


def of_length(own: int, texts: Texts) -> Answer:
    """Answer as a model of `own` dimensions does, which shortens its vectors where it is asked to."""
    size = texts.dimensions or own
    return rows([{"index": place, "embedding": [len(text), *[1] * (size - 1)]} for place, text in enumerate(texts)])


def status(code: int, retry_after: str | None = None) -> Callable[[list[str]], Answer]:
    """Return a reply of status `code` that repeats the texts, as careless servers do."""
    headers = ((b"retry-after", retry_after.encode()),) if retry_after is not None else ()
    return lambda texts: Answer(orjson.dumps({"error": {"message": f"bad input {texts}"}}), code, headers)
