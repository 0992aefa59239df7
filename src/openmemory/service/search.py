"""Finding the memories that answer a question."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

import numpy as np
import numpy.typing as npt

from openmemory.core import ranking, scale
from openmemory.core.candidates import Integers
from openmemory.core.corpus import Corpus
from openmemory.core.memory import Asked, Embedding, Memory
from openmemory.core.question import Question, understand
from openmemory.core.ranking import Explanation, Scored
from openmemory.core.records import record
from openmemory.core.scope import Scope
from openmemory.errors import Malformed
from openmemory.postgres import vectors
from openmemory.postgres.database import Database
from openmemory.postgres.nearest import Near, Rerank, nearest, nearest_call
from openmemory.service.clock import Clock
from openmemory.service.corpora import BeingRead, Corpora, Known, worked
from openmemory.service.encoding import Encoder
from openmemory.service.recalls import Recalls
from openmemory.service.shares import SearchTurns
from openmemory.service.vocabularies import Vocabularies

# Candidates scored again with the exact similarity. With words and context, 100 rank as well as 400 do on LoCoMo and in
# a tenant of 30,000 (recall@10 within 0.1). Without a text, a row is found by its code alone, which knows no lengths
# (l2, ip) and hardly tells unstructured vectors apart; 4,000 make the answer exact in most tenants.
RERANKED = 100
RERANKED_WITHOUT_TEXT = 4_000
# Some milliseconds. Longer texts share one thread: two would only wait for each other, and requests for both.
_INLINE_CHARACTERS = 1_000
_READER = ThreadPoolExecutor(1, thread_name_prefix="question")


@record
class Match:
    """A memory that was found, with its score and, if asked for, the parts of it."""

    memory: Memory
    score: float
    salience: float
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class Trace:
    """How an answer was found: the path of the search, the count of visible rows, and PostgreSQL's own plan."""

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
        turns: SearchTurns,
        corpora: Corpora,
    ) -> None:
        self._database = database
        self._encoder = encoder
        self._vocabularies = vocabularies
        self._recalls = recalls
        self._clock = clock
        # More searches at once than PostgreSQL has processors only wait for each other there.
        self._turns = turns
        self._corpora = corpora

    async def find(self, scope: Scope, asked: Asked) -> Found:
        """Return the `asked.k` memories that answer best.

        Every row that the scope may see is scored by its terms, its context and an estimate of its similarity; the best
        that pass the filters are scored again with the exact one. Raises Malformed if nothing is asked or the embedding
        does not fit, RateLimited or Overloaded if too much is searched at once.
        """
        asked_s = monotonic()
        question, embedding = await self._understood(scope, asked)
        async with self._turns.turn(scope.tenant):
            ranked = await self._at_once(scope, asked, asked_s, question, embedding)
            if ranked is None:
                ranked = await self._step_by_step(scope, asked, asked_s, question, embedding)
        matches = self._matches(ranked, asked)
        self._recalls.note(scope, [match.memory.id for match in matches])
        return Found(matches, ranked.trace)

    async def _at_once(
        self, scope: Scope, asked: Asked, asked_s: float, question: Question | None, embedding: Embedding | None
    ) -> "_Ranked | None":
        """Rank the cached rows, and have PostgreSQL check their version and read the best in one round trip.

        One question checks the version for all that were asked before its check began. Return None if nothing is
        cached, if it is out of date or changes with each question, and for a question with filters or `explain`.
        """
        shared = asked.filters.include_shared
        known = self._corpora.known(scope, shared=shared)
        if known is None or not known.steady or not len(known.corpus) or asked.filters.narrow or asked.explain:
            return None
        now = self._clock()
        scored, rows = await _best_scored(known.corpus, question, embedding, asked)
        rerank = _to_rerank(known.corpus, scored, rows, embedding, asked, now)
        exactly = nearest_call(rerank)
        if known.as_of_s >= asked_s:
            return _Ranked(scored, rows, await self._database.read(scope, exactly), now)
        as_of_s = monotonic()
        check = vectors.version_call(scope, self._database.names, shared=shared)
        versions, near = await self._database.read_at_once(scope, check, exactly)
        if versions != [known.version]:
            return None
        self._corpora.confirm(scope, known, shared=shared, as_of_s=as_of_s)
        return _Ranked(scored, rows, near, now)

    async def _step_by_step(
        self, scope: Scope, asked: Asked, asked_s: float, question: Question | None, embedding: Embedding | None
    ) -> "_Ranked":
        """Read which rows the scope may see now, rank them, and read the best, in one transaction.

        If another question is reading the scope, this one waits without a connection and then begins again.
        """
        found = None
        while True:
            try:
                return await self._in_one_transaction(scope, asked, asked_s, question, embedding, found)
            except BeingRead as reading:
                found = await reading.over()

    async def _in_one_transaction(
        self,
        scope: Scope,
        asked: Asked,
        asked_s: float,
        question: Question | None,
        embedding: Embedding | None,
        found: Known | None,
    ) -> "_Ranked":
        shared = asked.filters.include_shared
        async with self._database.tenant(scope, read_only=True, planned_once=not asked.filters.narrow) as tx:
            if found is not None and found.as_of_s >= asked_s:
                corpus = found.corpus
            else:
                corpus = await self._corpora.of(tx, shared=shared, found=found)
            passing = await vectors.passing(tx, asked.filters) if asked.filters.narrow else None
            now = self._clock()
            scored, rows = await _best_scored(corpus, question, embedding, asked, passing)
            rerank = _to_rerank(corpus, scored, rows, embedding, asked, now)
            near = await nearest(tx, rerank) if len(rows) else []
            if not asked.explain:
                return _Ranked(scored, rows, near, now)
            plan = await vectors.explain_rows(tx, shared=shared)
            return _Ranked(scored, rows, near, now, Trace("tenant_index", len(corpus), len(rows), plan))

    async def _understood(self, scope: Scope, asked: Asked) -> tuple[Question | None, Embedding | None]:
        if asked.text is None and asked.embedding is None:
            raise Malformed.at("query", "is missing; give `query`, `embedding` or both")
        if asked.embedding is not None:
            self._encoder.check_embedding(asked.embedding)
        if asked.text is None:
            return None, asked.embedding
        question = await self._read(scope, asked.text, shared=asked.filters.include_shared)
        if asked.embedding is not None:
            return question, asked.embedding
        return question, await self._encoder.embed_question(scope.tenant, question.embed_text)

    async def _read(self, scope: Scope, text: str, *, shared: bool) -> Question:
        """Return what a text asks; a long one is read in a thread and in its turn, so that others are answered."""
        vocabulary = await self._vocabularies.of(scope, shared=shared)
        if len(text) <= _INLINE_CHARACTERS:
            return understand(text, vocabulary)
        async with self._turns.turn(scope.tenant):
            return await asyncio.get_running_loop().run_in_executor(_READER, understand, text, vocabulary)

    @staticmethod
    def _matches(ranked: "_Ranked", asked: Asked) -> list[Match]:
        """Return the matches, best first; with `min_score`, exactly those that show at least this score."""
        matches = []
        least = asked.min_score or 0.0
        for found in ranked.near:
            salience = found.salience_now(ranked.now)
            row, similarity = int(ranked.rows[found.place - 1]), found.similarity or 0.0
            score = scale.shown(ranked.scored.relevance(row, similarity, salience))
            if score >= least:
                parts = ranked.scored.explain(row, similarity, salience) if asked.explain else None
                matches.append(Match(found, score, salience, parts))
        return sorted(matches, key=lambda match: -match.score)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The scores of all rows, the rows to score exactly, and the most relevant memories among them at `now`."""

    scored: Scored
    rows: npt.NDArray[np.intp]
    near: list[Near]
    now: datetime
    trace: Trace | None = None


def _reranked(asked: Asked, question: Question | None) -> int:
    """Return how many rows are scored again with the exact similarity."""
    return max(RERANKED if question else RERANKED_WITHOUT_TEXT, 2 * asked.k)


async def _best_scored(
    corpus: Corpus,
    question: Question | None,
    embedding: Embedding | None,
    asked: Asked,
    passing: Integers | None = None,
) -> tuple[Scored, npt.NDArray[np.intp]]:
    """Return the scores of all rows, and the rows to score exactly, best first; `passing` are the places allowed."""
    terms, count = () if question is None else question.terms, _reranked(asked, question)

    def work() -> tuple[Scored, npt.NDArray[np.intp]]:
        scored = ranking.score(corpus.candidates(terms, embedding), question)
        passes = None if passing is None else np.isin(corpus.turns.places, passing)
        return scored, _best(scored, passes, count)

    return await worked(corpus, work)


def _best(scored: Scored, passes: npt.NDArray[np.bool_] | None, count: int) -> npt.NDArray[np.intp]:
    """Return the best `count` rows that pass the filters, best first."""
    if passes is None:
        return ranking.best(scored, count)
    partial = np.where(passes, scored.partial, np.float32(-np.inf))
    return ranking.best(replace(scored, partial=partial), min(count, int(passes.sum())))


def _to_rerank(
    corpus: Corpus,
    scored: Scored,
    rows: npt.NDArray[np.intp],
    embedding: Embedding | None,
    asked: Asked,
    now: datetime,
) -> Rerank:
    return Rerank(
        corpus.turns.ids[rows],
        scored.partial[rows],
        scored.dense_weight[rows],
        embedding,
        asked.k,
        scale.least_relevance(asked.min_score),
        ranking.SALIENCE_SHARE,
        now,
    )
