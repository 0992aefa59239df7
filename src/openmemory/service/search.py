"""Finding the memories that answer a question."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from openmemory.core import ranking, scale
from openmemory.core.candidates import Candidates
from openmemory.core.memory import Asked, Embedding, Memory
from openmemory.core.question import Question, understand
from openmemory.core.ranking import Explanation, Scored
from openmemory.core.scope import Scope
from openmemory.errors import Malformed
from openmemory.postgres import memories, vectors
from openmemory.postgres.database import Database, TenantTx
from openmemory.postgres.memories import Near
from openmemory.service.clock import Clock
from openmemory.service.encoding import Encoder
from openmemory.service.recalls import Recalls
from openmemory.service.shares import SearchTurns
from openmemory.service.vocabularies import Vocabularies

# Candidates scored again with the exact similarity. With words and context, 100 rank as well as 400 do on LoCoMo and in
# a tenant of 30,000 (recall@10 within 0.1); an embedding alone needs more for the same recall.
RERANKED = 100
RERANKED_WITHOUT_TEXT = 500
_INLINE_ROWS = 20_000
_AT_ONCE, _WAIT_S = 8, 10.0


@dataclass(frozen=True, slots=True)
class Match:
    """A memory that was found, with its score and, if asked for, the parts of it."""

    memory: Memory
    score: float
    salience: float
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer came about: which way it was searched, how many rows were seen, and PostgreSQL's own plan."""

    path: str
    visible: int
    reranked: int
    plan: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The matches, best first, and the trace if it was asked for."""

    matches: list[Match]
    trace: Trace | None = None


class Search:
    """Ranks the memories of a scope by a question."""

    def __init__(
        self,
        database: Database,
        encoder: Encoder,
        vocabularies: Vocabularies,
        recalls: Recalls,
        clock: Clock,
        turns: SearchTurns | None = None,
    ) -> None:
        self._database = database
        self._encoder = encoder
        self._vocabularies = vocabularies
        self._recalls = recalls
        self._clock = clock
        # More searches at once than PostgreSQL has processors only wait for each other there.
        self._turns = turns or SearchTurns(_AT_ONCE, _WAIT_S)

    async def find(self, scope: Scope, asked: Asked) -> Found:
        """Return the `asked.k` memories that answer best.

        Every visible row is scored by its terms, its context and an estimate of its similarity; the best few hundred
        are scored again with the exact one. Raises Malformed if nothing is asked or the embedding does not fit,
        RateLimited or DatabaseUnavailable if too much is searched at once.
        """
        question, embedding = await self._understood(scope, asked)
        wanted = _wanted(question, embedding)
        async with self._turns.turn(scope.tenant), self._database.tenant(scope, read_only=True) as tx:
            visible = await vectors.scan(tx, wanted, asked.filters)
            scored = await _scored(visible.candidates, question)
            reranked = RERANKED if question else RERANKED_WITHOUT_TEXT
            rows = _best(scored, visible.passes, max(reranked, 2 * asked.k))
            near = await _nearest(tx, visible, scored, rows, embedding, asked)
            plan = await vectors.explain_scan(tx, wanted, asked.filters) if asked.explain else ()
        self._recalls.note(scope, [found.id for found in near])
        matches = self._matches(near, scored, rows, explain=asked.explain)
        return Found(matches, Trace("tenant_index", len(visible.ids), len(rows), plan) if asked.explain else None)

    async def _understood(self, scope: Scope, asked: Asked) -> tuple[Question | None, Embedding | None]:
        if asked.text is None and asked.embedding is None:
            raise Malformed.at("query", "is missing; give `query`, `embedding` or both")
        if asked.embedding is not None:
            self._encoder.check_embedding(asked.embedding)
        if asked.text is None:
            return None, asked.embedding
        question = understand(asked.text, await self._vocabularies.of(scope))
        if asked.embedding is not None:
            return question, asked.embedding
        return question, await self._encoder.embed_question(scope.tenant, question.embed_text)

    def _matches(self, near: list[Near], scored: Scored, rows: npt.NDArray[np.intp], *, explain: bool) -> list[Match]:
        now = self._clock()
        matches = []
        for found in near:
            parts = scored.explain(int(rows[found.place - 1]), found.similarity or 0.0)
            salience = found.salience_now(now)
            match = Match(found, scale.shown(parts.score), salience, parts if explain else None)
            matches.append((ranking.with_prior(parts.score, salience), match))
        return [match for _, match in sorted(matches, key=lambda ranked: -ranked[0])]


def _wanted(question: Question | None, embedding: Embedding | None) -> vectors.Wanted:
    if question is None:
        return vectors.Wanted(embedding=embedding)
    return vectors.Wanted(question.terms, embedding, question.speaker, dated=question.date is not None)


async def _scored(candidates: Candidates, question: Question | None) -> Scored:
    if len(candidates) <= _INLINE_ROWS:
        return ranking.score(candidates, question)
    return await asyncio.to_thread(ranking.score, candidates, question)


def _best(scored: Scored, passes: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.intp]:
    """Return the best `count` rows that pass the filters, best first."""
    if passes.all():
        return ranking.best(scored, count)
    partial = np.where(passes, scored.partial, np.float32(-np.inf))
    return ranking.best(replace(scored, partial=partial), min(count, int(passes.sum())))


async def _nearest(
    tx: TenantTx,
    visible: vectors.Visible,
    scored: Scored,
    rows: npt.NDArray[np.intp],
    embedding: Embedding | None,
    asked: Asked,
) -> list[Near]:
    if not len(rows):
        return []
    return await memories.nearest(
        tx,
        visible.ids[rows],
        scored.partial[rows],
        scored.dense_weight[rows],
        embedding,
        asked.k,
        scale.least_relevance(asked.min_score),
    )
