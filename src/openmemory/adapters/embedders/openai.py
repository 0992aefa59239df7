"""Vectors from any server with OpenAI's `POST /embeddings`: OpenAI, Ollama, vLLM, TEI, LiteLLM."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

import httpx2
import numpy as np
import orjson

from openmemory.adapters.embedders.protocol import Purpose, Vectors, unit_rows, unlike_anything
from openmemory.errors import ConfigurationError, EmbedderUnavailable

_BATCH_TEXTS = 256
# OpenAI takes 300,000 tokens a request, and few scripts need more than a token and a half a character.
_BATCH_CHARACTERS = 200_000
_TEXT_CHARACTERS = 24_000
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 20.0
_LONGEST_TOLD_S = 3600.0

_REMEDIES = {
    401: "check OM_OPENAI_API_KEY",
    403: "check OM_OPENAI_API_KEY and what it may use",
    404: "check OM_OPENAI_BASE_URL, which goes up to and with /v1, and OM_EMBED_MODEL",
    429: "the quota is used up, or try again later",
}


class OpenAIEmbedder:
    """Asks the server in batches; tries again, ever later, where that can help.

    A text's first 24,000 characters are embedded, about what the models read. The server is not asked about blank
    texts, which some refuse. Errors name the server and the way out, never the key, a text or the server's own
    words, which may repeat either.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        dimension: int | None = None,
        *,
        timeout_s: float = 15.0,
        attempts: int = 4,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"openai:{model}"
        self.dimension = dimension
        self._model = model
        self._url, self._shown = _addresses(base_url)
        self._attempts = attempts
        self._sleep = sleep
        self._jitter = jitter
        self._client = httpx2.AsyncClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            timeout=timeout_s,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def probe(self) -> int:
        """Return the dimension of the model's vectors, which the server is asked once."""
        if self.dimension is None:
            self.dimension = (await self._request(["probe"])).shape[1]
        return self.dimension

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return one row of unit length a text, in order; a blank text gets `unlike_anything`.

        Raises EmbedderUnavailable.
        """
        vectors = np.tile(unlike_anything(await self.probe()), (len(texts), 1))
        for places in _batches(texts):
            vectors[places] = await self._request([texts[place][:_TEXT_CHARACTERS] for place in places])
        return vectors

    async def _request(self, texts: list[str]) -> Vectors:
        body = orjson.dumps({"model": self._model, "input": texts, "encoding_format": "float"})
        response = await self._answer(body)
        try:
            rows = sorted(orjson.loads(response.content)["data"], key=lambda row: row["index"])
            order = [row["index"] for row in rows]
            with np.errstate(over="ignore"):
                vectors = np.array([row["embedding"] for row in rows], np.float32)
        except (KeyError, TypeError, ValueError):
            # Without the cause: its message may hold a part of the answer.
            raise self._unavailable("does not answer as POST /embeddings should", _REMEDIES[404]) from None
        if order != list(range(len(texts))):
            raise self._unavailable(f"answered {len(rows)} vectors for {len(texts)} texts, or in no order")
        self._check(vectors)
        return unit_rows(vectors)

    def _check(self, vectors: Vectors) -> None:
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise self._unavailable("answered vectors that are not finite numbers")
        if not vectors.any(axis=1).all():
            raise self._unavailable("answered a vector that is all zeros, which is near to nothing")
        if self.dimension is not None and vectors.shape[1] != self.dimension:
            raise self._unavailable(
                f"answered vectors of {vectors.shape[1]} dimensions where {self.dimension} are expected",
                "check OM_EMBED_MODEL and OM_VEC_DIM",
            )

    async def _answer(self, body: bytes) -> httpx2.Response:
        """Return the first answer with status 200; sleep between the attempts, not after the last."""
        attempt = 1
        while True:
            try:
                response = await self._client.post(self._url, content=body)
            except httpx2.RequestError as error:
                wait, problem = 0.0, self._unreached(error)
            else:
                if response.status_code == httpx2.codes.OK:
                    return response
                wait = _retry_after(response)
                problem = self._refused(response.status_code, wait)
                if response.status_code != httpx2.codes.TOO_MANY_REQUESTS and not response.is_server_error:
                    raise problem
            if attempt >= self._attempts:
                raise problem
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            delay = self._jitter() * min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (attempt - 1))
            await self._sleep(max(delay, min(wait, _LONGEST_DELAY_S)))
            attempt += 1

    def _unreached(self, error: httpx2.RequestError) -> EmbedderUnavailable:
        how = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
        return self._unavailable(f"{how} ({type(error).__name__})", "start it, or check OM_OPENAI_BASE_URL")

    def _refused(self, status: int, wait_s: float) -> EmbedderUnavailable:
        default = "try again later" if status >= 500 else f"check OM_EMBED_MODEL, which is {self._model}"
        again_s = max(1, ceil(min(wait_s, _LONGEST_TOLD_S)))
        return self._unavailable(f"answered {status}", _REMEDIES.get(status, default), again_s)

    def _unavailable(
        self, problem: str, remedy: str = "check OM_EMBED_MODEL and the server", retry_after_s: int = 1
    ) -> EmbedderUnavailable:
        return EmbedderUnavailable(f"the embedding server {self._shown} {problem}: {remedy}", retry_after_s)


def _addresses(base_url: str) -> tuple[httpx2.URL, str]:
    """Return where to post, and the base as messages may show it: without user, password and query."""
    try:
        base = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        base = httpx2.URL()
    if base.scheme not in {"http", "https"} or not base.host:
        raise ConfigurationError("OM_OPENAI_BASE_URL is not an address: it is like http://localhost:11434/v1")
    post_to = base.copy_with(path=base.path.rstrip("/") + "/embeddings")
    return post_to, str(base.copy_with(userinfo=b"", query=None, fragment=None))


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of the texts that are not blank, as many at a time as one request may hold."""
    batch: list[int] = []
    characters = 0
    for place, text in enumerate(texts):
        if not text.strip():
            continue
        size = min(len(text), _TEXT_CHARACTERS)
        if batch and (len(batch) == _BATCH_TEXTS or characters + size > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(place)
        characters += size
    if batch:
        yield batch


def _retry_after(response: httpx2.Response) -> float:
    """Return the seconds that the server asks to wait, given as such or as a date; 0 if it does not say."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
