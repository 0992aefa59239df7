"""Turn memories as clients tell them into memories to store, with sectors, terms, fingerprint and embedding."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import numpy.typing as npt

from openmemory.adapters.embedders import Embedder, TextsRefused
from openmemory.core import salience, sectors, text
from openmemory.core.ids import new_ids
from openmemory.core.lru import LruCache
from openmemory.core.memory import CONTENT_MAX_CHARS, Embedding, NewMemory, Told
from openmemory.core.parts import in_parts
from openmemory.errors import Malformed, Unprocessable
from openmemory.postgres.vectors import term_cap

# So many characters take some 10 ms; each memory counts as 100 more. A thread takes longer, since both threads need the
# interpreter, but more characters than these would keep everybody else waiting.
_INLINE_CHARACTERS, _OF_A_MEMORY = 50_000, 100
_QUESTIONS_KEPT = 2_000
_MICROSECOND = timedelta(microseconds=1)
# PostgreSQL sums squares in float4, which loses precision below its smallest normal number.
_MEASURABLE_LEAST = float(np.finfo(np.float32).tiny)


class Encoder:
    """Turns told memories into memories ready to store; holds the embedder, and how its vectors are stored.

    `as_half`: their numbers are rounded to 16 bits.
    """

    def __init__(self, embedder: Embedder, dimension: int, *, as_half: bool = False) -> None:
        self.embedder = embedder
        self.dimension = dimension
        self._as_half = as_half
        self._term_cap = term_cap(dimension)
        self._questions: LruCache[tuple[str, str], Embedding] = LruCache(_QUESTIONS_KEPT)

    async def encode(self, told: Sequence[Told], now: datetime, *, in_batch: bool = False) -> list[NewMemory]:
        """Return a memory for each thing told, in order. Holds no connection while it embeds.

        Raises Malformed for a memory that cannot be stored and Unprocessable for one that cannot be embedded; both
        name its place if it is `in_batch`.
        """
        self._check_all(told, in_batch=in_batch)
        embeddings, refused = await self._embeddings(told)
        for place, error in refused.items():
            raise error.inside(f"items[{place}]") if in_batch else error
        return await self._all_assembled(told, embeddings, now)

    async def encode_each(self, told: Sequence[Told], now: datetime) -> list[NewMemory | Unprocessable]:
        """Return a memory, or why it cannot be embedded, for each thing told, none of which has a `refusal`."""
        embeddings, refused = await self._embeddings(told)
        able = [place for place in range(len(told)) if place not in refused]
        new = await self._all_assembled([told[place] for place in able], [embeddings[place] for place in able], now)
        outcomes: dict[int, NewMemory | Unprocessable] = {**dict(zip(able, new, strict=True)), **refused}
        return [outcomes[place] for place in range(len(told))]

    async def _all_assembled(
        self, told: Sequence[Told], embeddings: Sequence[Embedding | None], now: datetime
    ) -> list[NewMemory]:
        pairs, ids = list(zip(told, embeddings, strict=True)), new_ids(now)
        if sum(map(_work, pairs)) <= _INLINE_CHARACTERS:
            return self._assembled(pairs, ids, now)
        new: list[NewMemory] = []
        # In parts, since nothing stops a thread: a server that stops would wait for all of a large batch.
        for part in in_parts(pairs, _work):
            new += await asyncio.to_thread(self._assembled, part, ids, now + len(new) * _MICROSECOND)
        return new

    async def embed_question(self, tenant: str, question: str) -> Embedding | None:
        """Return the vector of a question, or None where the server embeds nothing.

        The latest questions are cached for each tenant separately: the time of an answer must not tell one tenant
        what another has asked.
        """
        if self.embedder.dimension is None:
            return None
        known = self._questions.get((tenant, question))
        if known is None:
            try:
                known = np.asarray((await self.embedder.embed([question]))[0])
            except TextsRefused as error:
                raise _unembeddable("query", error) from error
            self._questions.put((tenant, question), known)
        return known

    def check_embedding(self, embedding: Embedding) -> None:
        """Raise Malformed unless `embedding` can be kept and compared here."""
        if len(embedding) != self.dimension:
            raise Malformed.at(
                "embedding", f"has {len(embedding)} numbers; the vectors of this server have {self.dimension}"
            )
        kept = self._as_kept(embedding)
        if not np.isfinite(kept).all():
            kind = "halfvec (OM_VEC_TYPE)" if self._as_half else "float4"
            raise Malformed.at("embedding", f"has a number that a {kind} cannot hold")
        if not kept.any():
            rounded = ", rounded to a halfvec (OM_VEC_TYPE)," if embedding.any() else ","
            raise Malformed.at("embedding", f"is all zeros{rounded} which is near to nothing")
        if not _are_measurable(kept[np.newaxis]):
            raise Malformed.at(
                "embedding", "is too long or too short to be measured in float4; scale it, say to length 1"
            )

    def refusal(self, told: Told) -> Malformed | None:
        """Return why `told` cannot be kept, or None if it can."""
        try:
            self._check(told)
        except Malformed as refused:
            return refused
        return None

    def _check_all(self, told: Sequence[Told], *, in_batch: bool) -> None:
        sound = self._are_sound([one.embedding for one in told if one.embedding is not None])
        for place, one in enumerate(told):
            try:
                _check_content(one.content)
                if one.embedding is not None and not sound:
                    self.check_embedding(one.embedding)
            except Malformed as error:
                raise (error.inside(f"items[{place}]") if in_batch else error) from error

    def _are_sound(self, embeddings: Sequence[Embedding]) -> bool:
        """Return whether all embeddings can be stored; one check of many is faster than many checks of one."""
        if not embeddings or any(len(one) != self.dimension for one in embeddings):
            return not embeddings
        rows = np.stack(embeddings) if len(embeddings) > 1 else embeddings[0][np.newaxis]
        return _are_measurable(self._as_kept(rows))

    def _as_kept(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return embeddings as PostgreSQL stores them; a number that is too large becomes infinite."""
        if not self._as_half:
            return embeddings
        with np.errstate(over="ignore"):
            return embeddings.astype(np.float16).astype(np.float32)

    def _check(self, told: Told) -> None:
        _check_content(told.content)
        if told.embedding is not None:
            self.check_embedding(told.embedding)

    async def _embeddings(self, told: Sequence[Told]) -> tuple[list[Embedding | None], dict[int, Unprocessable]]:
        """Return the vector of each memory, and the errors of those that cannot have one, by their places."""
        refused: dict[int, Unprocessable] = {}
        found = [one.embedding for one in told]
        missing = [place for place, embedding in enumerate(found) if embedding is None]
        if missing and self.embedder.dimension is not None:
            texts = [text.spoken(told[place].content, told[place].speaker) for place in missing]
            try:
                vectors = await self.embedder.embed(texts)
            except TextsRefused as error:
                vectors = error.vectors
                refused = {missing[place]: _unembeddable("content", error) for place in error.places}
            for place, vector in zip(missing, vectors, strict=True):
                found[place] = vector
        return found, refused

    def _assembled(
        self, pairs: Sequence[tuple[Told, Embedding | None]], ids: Iterator[UUID], first: datetime
    ) -> list[NewMemory]:
        """Return told memories with their embeddings as memories to store, each a microsecond after the one before."""
        return [
            self._one(one, embedding, new_id, first + place * _MICROSECOND)
            for place, ((one, embedding), new_id) in enumerate(zip(pairs, ids, strict=False))
        ]

    def _one(self, told: Told, embedding: Embedding | None, new_id: UUID, created_at: datetime) -> NewMemory:
        classified = sectors.classify(told.content, told.sector)
        return NewMemory(
            id=told.id or new_id,
            content=told.content,
            fingerprint=text.fingerprint(
                told.content,
                user=told.user_id,
                project=told.project_id,
                session=told.session_id,
                speaker=told.speaker,
                occurred_at=told.occurred_at,
            ),
            primary_sector=classified.primary.value,
            sectors=classified.mask,
            salience=salience.initial(len(classified.sectors)) if told.salience is None else told.salience,
            decay_rate=sectors.RATE_PER_DAY[classified.primary],
            terms=text.term_vector(text.spoken(told.content, told.speaker), self._term_cap),
            marks=text.marks(told.content),
            embedding=embedding,
            created_at=created_at,
            occurred_at=told.occurred_at or created_at,
            user_id=told.user_id,
            project_id=told.project_id,
            session_id=told.session_id,
            speaker=told.speaker,
            tags=told.tags,
            metadata=told.metadata,
            has_own_id=told.id is not None,
        )


def _work(pair: tuple[Told, Embedding | None]) -> int:
    return len(pair[0].content) + _OF_A_MEMORY


def _check_content(content: str) -> None:
    if problem := text.text_problem(content, CONTENT_MAX_CHARS):
        raise Malformed.at("content", problem)


def _unembeddable(field: str, error: TextsRefused) -> Unprocessable:
    return Unprocessable.at(field, f"{error.reason}; say it in another way, or send `embedding` with it")


def _are_measurable(embeddings: npt.NDArray[np.float32]) -> bool:
    """Return whether all numbers are finite and float4 holds each row's sum of squares with full precision."""
    with np.errstate(over="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", embeddings, embeddings)
    return bool(((squares >= _MEASURABLE_LEAST) & (squares < np.inf)).all())
