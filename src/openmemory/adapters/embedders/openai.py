"""Vectors from any server with OpenAI's `POST /embeddings`: OpenAI, Ollama, vLLM, TEI, LiteLLM."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import numpy as np
import orjson

from openmemory.adapters.embedders.endpoint import BASE_URL_REMEDY, PATIENCE_S, TIMEOUT_S, Endpoint, Refused, TooLong
from openmemory.adapters.embedders.lengths import batches, beginning, shorter
from openmemory.adapters.embedders.protocol import TextsRefused, Vectors, unit_rows, unlike_anything
from openmemory.errors import EmbedderUnavailable

# Bounds of an answer: for each number in JSON, and for all else, which also holds one vector of any dimension.
_NUMBER_BYTES, _ANSWER_BYTES = 64, 1 << 20


class OpenAIEmbedder:
    """Sends texts to the server in batches.

    Only the beginning of a text that models read is sent, by an estimate of its tokens. If the estimate is too low or
    the model reads less, the server refuses, and the text is cut shorter. Blank texts are not sent: some servers refuse
    them.

    `dimensions` is sent from the first answer of another length on, and not before: many servers do not know it, and
    older models refuse it.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        model: str,
        dimension: int,
        *,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"openai:{model}"
        self.dimension = dimension
        self._model = model
        self._patience_s = patience_s
        self._is_shortened = False
        self._endpoint = Endpoint(
            base_url, api_key, model, timeout_s=timeout_s, patience_s=patience_s, sleep=sleep, jitter=jitter
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text, in order; a blank text gets `unlike_anything`.

        Raises EmbedderUnavailable, and TextsRefused if the server accepts other texts.
        """
        vectors = np.tile(unlike_anything(self.dimension), (len(texts), 1))
        sent = [beginning(text) for text in texts]
        refused: list[int] = []
        for places in batches(sent):
            try:
                vectors[places] = await self._request([sent[place] for place in places])
            except Refused:
                await _of_plain_text(self._endpoint, self._model, self.dimension, shortened=self._is_shortened)
                refused += await self._sorted_out(sent, places, vectors)
        if refused:
            raise TextsRefused(f"is refused by the embedding server {self._endpoint.shown}", refused, vectors)
        return vectors

    async def _sorted_out(self, sent: Sequence[str], places: list[int], vectors: Vectors) -> list[int]:
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._apart(sent, places, vectors)
        except TimeoutError:
            raise self._endpoint.unavailable(
                "refuses some of the texts, and it takes too long to find out which",
                "send fewer at once",
                kind="timeout",
            ) from None

    async def _apart(self, sent: Sequence[str], places: list[int], vectors: Vectors) -> list[int]:
        """Embed a refused batch by halves; return the places of texts that are refused alone, even when cut."""
        if len(places) == 1:
            return await self._cut_short(sent, places, vectors)
        middle = len(places) // 2
        refused: list[int] = []
        for half in (places[:middle], places[middle:]):
            try:
                vectors[half] = await self._request([sent[place] for place in half])
            except Refused:
                refused += await self._apart(sent, half, vectors)
        return refused

    async def _cut_short(self, sent: Sequence[str], places: list[int], vectors: Vectors) -> list[int]:
        for text in shorter(sent[places[0]]):
            with suppress(Refused):
                vectors[places] = await self._request([text])
                return []
        return places

    async def _request(self, texts: list[str]) -> Vectors:
        was_shortened = self._is_shortened  # another batch may find out meanwhile
        try:
            vectors = await _asked(self._endpoint, self._model, texts, self.dimension, shortened=was_shortened)
        except TooLong as error:
            vectors = await self._probed(error, len(texts))
        if vectors.shape[1] != self.dimension:
            own = vectors.shape[1]
            if was_shortened:
                raise self._of_another_length(own, "although it is asked to shorten them")
            vectors = await self._shortened(texts, own)
        return unit_rows(vectors)

    async def _probed(self, error: TooLong, count: int) -> Vectors:
        """Return one vector where longer ones than expected can be why an answer for `count` texts is too long."""
        if count == 1 or self._is_shortened:
            raise error.problem from None
        vectors = await _of_plain_text(self._endpoint, self._model, self.dimension)
        if vectors.shape[1] <= self.dimension:
            raise error.problem from None
        return vectors

    async def _shortened(self, texts: list[str], own: int) -> Vectors:
        """Return vectors of the dimension that is asked for, where the model's `own` is another; remember to ask so."""
        try:
            vectors = await _asked(self._endpoint, self._model, texts, self.dimension, shortened=True)
        except (Refused, TooLong):
            raise self._of_another_length(own, "and it refuses to shorten them") from None
        if vectors.shape[1] != self.dimension:
            raise self._of_another_length(own, "and it shortens none")
        self._is_shortened = True
        return vectors

    def _of_another_length(self, own: int, why: str) -> EmbedderUnavailable:
        return self._endpoint.unavailable(
            f"answered vectors of {own} dimensions where {self.dimension} are expected, {why}",
            f"check OM_EMBED_MODEL, which is {self._model}; or leave OM_VEC_DIM out, and move the memories that there"
            " are with `openmemory reembed`; or let requests bring their vectors (OM_EMBEDDINGS=none"
            f" OM_VEC_DIM={self.dimension})",
        )


async def asked_dimension(base_url: str, api_key: str | None, model: str) -> int:
    """Return the dimension of a model's vectors as its server answers; raises EmbedderUnavailable."""
    endpoint = Endpoint(base_url, api_key, model)
    try:
        return int((await _of_plain_text(endpoint, model, 0)).shape[1])
    finally:
        await endpoint.aclose()


async def _of_plain_text(endpoint: Endpoint, model: str, dimension: int, *, shortened: bool = False) -> Vectors:
    """Return the vector of a text that every model accepts; raises EmbedderUnavailable if it is refused."""
    try:
        return await _asked(endpoint, model, ["probe"], dimension, shortened=shortened)
    except (Refused, TooLong) as error:
        raise error.problem from None


async def _asked(
    endpoint: Endpoint, model: str, texts: list[str], dimension: int, *, shortened: bool = False
) -> Vectors:
    """Return the vectors that the server makes of `texts`, one each, in order; raises EmbedderUnavailable.

    An answer is read only up to about `dimension` numbers a text. Raises Refused and TooLong where other texts, or
    another length of vectors, may be answered.
    """
    body = {"model": model, "input": texts, "encoding_format": "float"} | (
        {"dimensions": dimension} if shortened else {}
    )
    answer = await endpoint.post(orjson.dumps(body), _ANSWER_BYTES + len(texts) * dimension * _NUMBER_BYTES)
    try:
        rows = sorted(orjson.loads(answer)["data"], key=lambda row: row["index"])
        order = [row["index"] for row in rows]
        with np.errstate(over="ignore"):
            vectors = np.array([row["embedding"] for row in rows], np.float32)
    except (KeyError, TypeError, ValueError):
        # Without the cause: its message may hold a part of the answer.
        raise endpoint.unavailable("does not answer as POST /embeddings should", BASE_URL_REMEDY) from None
    if order != list(range(len(texts))):
        raise endpoint.unavailable(f"answered {len(rows)} vectors for {len(texts)} texts, or in no order")
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise endpoint.unavailable("answered vectors that are not finite numbers")
    if not vectors.any(axis=1).all():
        raise endpoint.unavailable("answered a vector that is all zeros, which is near to nothing")
    return vectors
