"""How memories rank for a question: one score of named parts, over columns of all the rows it may see.

    score = 0.6 lexical + 0.4 dense + boosts
    relevance = score (1 + 0.03 salience), where the score is above 0

Lexical is BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) as a
share of the best possible score of the question, so scores are comparable between questions. Dense is cosine
similarity. Both understand a turn of a conversation with its neighbours in the session. The recipe and its
measurements are in docs/explanation/ranking.md. Rows come in conversation order, those of one session
adjacent; similarities may be estimates from sign bits, and a row's own is replaced once the exact one is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from openmemory.core import dates
from openmemory.core.candidates import Candidates, Floats, Integers
from openmemory.core.question import Question
from openmemory.core.text import ENDS_ASKING, HAS_TIME

Rows = npt.NDArray[np.intp]
Distances = npt.NDArray[np.uint16]

LEXICAL_WEIGHT = 0.6
DENSE_WEIGHT = 0.4

_SPEAKER_BOOST = 0.06
_WHEN_BOOST = 0.06
_ASKING_MALUS = -0.05
_DATE_BOOST = 0.1
_NEAR_DAY_BOOST = 0.05
_WEEK_AFTER_BOOST = 0.07

SALIENCE_SHARE = 0.03
"""The share of a score above 0 that full salience adds: it decides between equals and overrides no relevance."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The weighted parts of one memory's relevance; `relevance` is the sum of the others and of `boosts`."""

    lexical: float
    dense: float
    context_dense: float
    boosts: Mapping[str, float]
    relevance: float


@dataclass(frozen=True, slots=True)
class Scored:
    """The parts of every row's score: `score = partial + dense_weight * similarity`.

    `lexical` and `context_dense` (what the neighbours' similarities contribute) are weighted already;
    `partial` is the sum of both and of `boosts`. `dense_weight` is 0 where the question has no embedding, and
    then `similarities` too.
    """

    lexical: Floats
    context_dense: Floats
    dense_weight: Floats
    boosts: Mapping[str, Floats]
    partial: Floats
    similarities: Floats
    occurred_at_s: Integers

    def estimated(self) -> Floats:
        """Return every row's score by the similarities that came with the candidates."""
        return self.partial + self.dense_weight * self.similarities

    def relevance(self, row: int, similarity: float, salience_now: float) -> float:
        """Return one row's relevance, given its exact similarity and its salience."""
        score = float(self.partial[row]) + float(self.dense_weight[row]) * similarity
        return score + SALIENCE_SHARE * max(score, 0.0) * salience_now

    def explain(self, row: int, similarity: float, salience_now: float) -> Explanation:
        """Return the named parts of one row's relevance, which add up to it as far as a float32 goes."""
        boosts = {name: float(boost[row]) for name, boost in self.boosts.items()}
        dense = float(self.dense_weight[row]) * similarity
        boosts["salience"] = SALIENCE_SHARE * max(float(self.partial[row]) + dense, 0.0) * salience_now
        relevance = self.relevance(row, similarity, salience_now)
        return Explanation(float(self.lexical[row]), dense, float(self.context_dense[row]), boosts, relevance)


def score(candidates: Candidates, question: Question | None) -> Scored:
    """Return the parts of each row's score for `question`, which is None if only an embedding is asked.

    With text and embedding: 0.6 lexical + 0.4 dense + boosts. With text alone: lexical + boosts. With the
    embedding alone: dense.
    """
    nothing = np.zeros(len(candidates), np.float32)
    both = question is not None and candidates.similarities is not None
    words, named = nothing, {}
    if question is not None:
        words = lexical(candidates, len(question.terms)) * np.float32(LEXICAL_WEIGHT if both else 1.0)
        named = boosts(candidates, question)
    near, own = nothing, nothing
    if candidates.similarities is not None:
        near, own = dense(candidates, candidates.similarities, DENSE_WEIGHT if both else 1.0)
    partial = words + near
    for boost in named.values():
        partial += boost
    similarities = nothing if candidates.similarities is None else candidates.similarities
    return Scored(words, near, own, named, partial, similarities, candidates.occurred_at_s)


def lexical(candidates: Candidates, terms: int) -> Floats:
    """Return each row's BM25 with the conversation's context, as a share of the best possible: 0 to 1.

    f = sum of w * frequency and dl = sum of w * length over the row (w = 1), the turns before (0.5, 0.3, 0.2)
    and after it (0.3, 0.2); idf = ln(1 + (N - df + 0.5) / (df + 0.5)) over the candidates' own frequencies;
    share = sum of idf * f / (f + 0.9 * (0.6 + 0.4 * dl / mean dl)) / sum of idf. The factor k1 + 1 = 1.9 of
    BM25 cancels. A term that no candidate has stays in the divisor.
    """
    rows = len(candidates)
    if rows == 0 or terms == 0:
        return np.zeros(rows, np.float32)
    if terms != len(candidates.holders):
        raise ValueError(f"{terms} terms are asked for, the candidates know of {len(candidates.holders)}")
    weights = np.log1p((rows - candidates.holders + 0.5) / (candidates.holders + 0.5)).astype(np.float32)
    around = candidates.surroundings
    frequencies = around.context.in_tenths(candidates.frequencies).astype(np.float32)
    total: Floats = weights @ (frequencies / (frequencies + around.norms))
    total /= weights.sum()
    return total


def dense(candidates: Candidates, similarities: Floats, weight: float) -> tuple[Floats, Floats]:
    """Return what the neighbours contribute to each row's dense score, and the weight of its own similarity.

    dense = weight * (sum of w * similarity / sum of w) over the row (w = 1), the turns before (0.3, 0.2) and
    after it (0.2), those present only.
    """
    own = candidates.surroundings.own_weights * np.float32(weight)
    return candidates.surroundings.context.near(similarities) * own, own


def boosts(candidates: Candidates, question: Question) -> dict[str, Floats]:
    """Return by name the boosts of each row's score, for what `question` asks besides its words.

    Only those that apply: for a memory of the named speaker, for a time expression if the question asks when,
    for nearness to the named date, and against a memory that itself ends with a question.
    """
    given = {"question": _times((candidates.marks & ENDS_ASKING) != 0, _ASKING_MALUS)}
    if question.speaker is not None:
        given["speaker"] = _times(candidates.speakers == question.speaker, _SPEAKER_BOOST)
    if question.asks_when:
        given["when"] = _times((candidates.marks & HAS_TIME) != 0, _WHEN_BOOST)
    if question.date is not None:
        given["date"] = _date_boost(candidates.occurred_at_s, question.date)
    return given


def best(scored: Scored, count: int) -> Rows:
    """Return the `count` best rows by estimated score, best first; of equals the newer, then the later."""
    scores = scored.estimated()
    rows = _above_the_bar(scores, scored.occurred_at_s, count)
    order = np.lexsort((-rows, -scored.occurred_at_s[rows], -scores[rows]))
    return rows[order[: max(count, 0)]]


def estimate(distances: Distances, bits: int) -> Floats:
    """Return the cosine similarities that Hamming distances of `bits` sign bits suggest: cos(pi * h / bits).

    Each bit differs with probability angle / pi (Goemans and Williamson, 1995; Charikar, 2002).
    """
    return _cosines(bits).take(distances)


@cache
def _cosines(bits: int) -> Floats:
    cosines: Floats = np.cos(np.arange(bits + 1) * (np.pi / bits)).astype(np.float32)
    return cosines


def _times(flags: npt.NDArray[np.bool_], boost: float) -> Floats:
    given: Floats = np.multiply(flags, np.float32(boost))
    return given


def _date_boost(moments_s: Integers, asked: dates.AskedDate) -> Floats:
    in_month = dates.in_month(moments_s, asked)
    if asked.day is None:
        week_after = dates.in_week_after_month(moments_s, asked)
        return _times(in_month, _DATE_BOOST) + _times(week_after, _WEEK_AFTER_BOOST)
    near = dates.near_day(moments_s, asked)
    return _times(in_month | near, _DATE_BOOST) + _times(near, _NEAR_DAY_BOOST)


def _above_the_bar(scores: Floats, occurred_at_s: Integers, count: int) -> Rows:
    """Return the `count` best rows, in no order, or all if there are no more; of equals the newer, then the later."""
    if not 0 < count < len(scores):
        return np.arange(len(scores))
    bar = np.partition(scores, len(scores) - count)[len(scores) - count]
    rows = np.flatnonzero(scores >= bar)
    if len(rows) <= count:
        return rows
    above, level = rows[scores[rows] > bar], rows[scores[rows] == bar]
    newest = np.lexsort((level, occurred_at_s[level]))[len(level) + len(above) - count :]
    return np.concatenate((above, level[newest]))
