"""Vectors from any server with OpenAI's `POST /embeddings`: OpenAI, Ollama, vLLM, TEI, LiteLLM."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np
import orjson

from openmemory.adapters.embedders.endpoint import BASE_URL_REMEDY, Endpoint
from openmemory.adapters.embedders.protocol import Purpose, Vectors, unit_rows, unlike_anything

_BATCH_TEXTS = 256
# OpenAI takes 300,000 tokens a request, and few scripts need more than a token and a half a character.
_BATCH_CHARACTERS = 200_000
_TEXT_CHARACTERS = 24_000


class OpenAIEmbedder:
    """Asks the server in batches.

    A text's first 24,000 characters are embedded, about what the models read. The server is not asked about blank
    texts, which some refuse.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        dimension: int | None = None,
        *,
        timeout_s: float = 15.0,
        patience_s: float = 30.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"openai:{model}"
        self.dimension = dimension
        self._model = model
        self._endpoint = Endpoint(
            base_url, api_key, model, timeout_s=timeout_s, patience_s=patience_s, sleep=sleep, jitter=jitter
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

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
        answer = await self._endpoint.post(body)
        try:
            rows = sorted(orjson.loads(answer)["data"], key=lambda row: row["index"])
            order = [row["index"] for row in rows]
            with np.errstate(over="ignore"):
                vectors = np.array([row["embedding"] for row in rows], np.float32)
        except (KeyError, TypeError, ValueError):
            # Without the cause: its message may hold a part of the answer.
            raise self._endpoint.unavailable("does not answer as POST /embeddings should", BASE_URL_REMEDY) from None
        if order != list(range(len(texts))):
            raise self._endpoint.unavailable(f"answered {len(rows)} vectors for {len(texts)} texts, or in no order")
        self._check(vectors)
        return unit_rows(vectors)

    def _check(self, vectors: Vectors) -> None:
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise self._endpoint.unavailable("answered vectors that are not finite numbers")
        if not vectors.any(axis=1).all():
            raise self._endpoint.unavailable("answered a vector that is all zeros, which is near to nothing")
        if self.dimension is not None and vectors.shape[1] != self.dimension:
            raise self._endpoint.unavailable(
                f"answered vectors of {vectors.shape[1]} dimensions where {self.dimension} are expected",
                "check OM_EMBED_MODEL and OM_VEC_DIM",
            )


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


async def asked_dimension(base_url: str, api_key: str | None, model: str) -> int:
    """Return the dimension of a model's vectors, which its server is asked."""
    embedder = OpenAIEmbedder(base_url, api_key, model)
    try:
        return await embedder.probe()
    finally:
        await embedder.aclose()
