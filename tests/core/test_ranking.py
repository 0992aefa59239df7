"""How memories rank: the columns' formulas against plain Python, and what holds whatever the data."""

from dataclasses import dataclass, replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng

from openmemory.core import ranking
from openmemory.core.candidates import Candidates, Surroundings
from openmemory.core.dates import AskedDate
from openmemory.core.question import Question
from openmemory.core.text import ENDS_ASKING, HAS_TIME


@dataclass(frozen=True, slots=True)
class Row:
    """One row as plain Python has it."""

    frequencies: tuple[int, ...]
    length: int
    session: int = 0
    similarity: float = 0.0
    speaker: int = 0
    marks: int = 0
    occurred_at_s: int = 0


def columns(rows: list[Row], terms: int) -> Candidates:
    """Return `rows` as the search hands them over."""
    return Candidates(
        frequencies=np.array([row.frequencies[:terms] for row in rows], np.uint8).reshape(len(rows), terms).T,
        holders=np.array([sum(row.frequencies[term] > 0 for row in rows) for term in range(terms)], np.int64),
        surroundings=Surroundings.of(
            np.array([row.session for row in rows], np.int64), np.array([row.length for row in rows], np.int64)
        ),
        similarities=np.array([row.similarity for row in rows], np.float32),
        speakers=np.array([row.speaker for row in rows], np.int32),
        marks=np.array([row.marks for row in rows], np.uint8),
        occurred_at_s=np.array([row.occurred_at_s for row in rows], np.int64),
    )


def neighbours(rows: list[Row], at: int, weights: dict[int, float]) -> list[tuple[float, Row]]:
    """Return the rows near `at` in its session, itself included, with their weights."""
    found = [(1.0, rows[at])]
    for distance, weight in weights.items():
        near = at + distance
        if rows[at].session and 0 <= near < len(rows) and rows[near].session == rows[at].session:
            found.append((weight, rows[near]))
    return found


LEXICAL = {-1: 0.5, -2: 0.3, -3: 0.2, 1: 0.3, 2: 0.2}
DENSE = {-1: 0.3, -2: 0.2, 1: 0.2}


def slow_lexical(rows: list[Row], terms: int) -> list[float]:
    """Return what the recipe says, word by word."""
    near = [neighbours(rows, at, LEXICAL) for at in range(len(rows))]
    lengths = [sum(w * row.length for w, row in group) for group in near]
    mean = sum(lengths) / len(lengths)
    holders = [sum(row.frequencies[i] > 0 for row in rows) for i in range(terms)]
    idf = [log(1 + (len(rows) - df + 0.5) / (df + 0.5)) for df in holders]
    shares = []
    for group, dl in zip(near, lengths, strict=True):
        f = [sum(w * row.frequencies[i] for w, row in group) for i in range(terms)]
        norm = 0.9 * (0.6 + 0.4 * dl / mean)
        shares.append(sum(idf[i] * 1.9 * f[i] / (f[i] + norm) for i in range(terms)) / (sum(idf) * 1.9))
    return shares


def slow_dense(rows: list[Row]) -> list[float]:
    """Return what the recipe says, row by row."""
    near = [neighbours(rows, at, DENSE) for at in range(len(rows))]
    return [sum(w * row.similarity for w, row in group) / sum(w for w, _ in group) for group in near]


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[Row], int]:
    """Return rows of several sessions, one of them none at all, and how many terms the question has."""
    terms = draw(st.integers(1, 16))
    sessions = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    rows = [
        Row(
            frequencies=tuple(draw(st.integers(0, 7)) if draw(st.booleans()) else 0 for _ in range(terms)),
            length=draw(st.integers(1, 400)),
            session=key,
            similarity=draw(st.floats(-1, 1)),
        )
        for key, size in enumerate(sessions)
        for _ in range(size)
    ]
    return rows, terms


@given(corpora())
def test_lexical_is_the_recipe(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    candidates = columns(rows, terms)

    found = ranking.lexical(candidates, terms)

    assert found.tolist() == pytest.approx(slow_lexical(rows, terms), abs=1e-5)


@given(corpora())
def test_lexical_is_a_share(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    candidates = columns(rows, terms)

    found = ranking.lexical(candidates, terms)

    assert bool(np.all((found >= 0) & (found <= 1)))


@given(corpora())
def test_dense_is_the_recipe(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    candidates = columns(rows, terms)

    scored = ranking.score(candidates, None)

    assert scored.estimated().tolist() == pytest.approx(slow_dense(rows), abs=1e-5)


@given(corpora())
def test_the_score_is_the_weighted_sum_of_its_parts(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    question = Question(tuple(range(terms)), "x")

    scored = ranking.score(columns(rows, terms), question)

    parts = zip(slow_lexical(rows, terms), slow_dense(rows), strict=True)
    assert scored.estimated().tolist() == pytest.approx([0.6 * lex + 0.4 * near for lex, near in parts], abs=1e-5)


@given(corpora())
def test_context_never_crosses_sessions(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    question = Question(tuple(range(terms)), "x")
    last = max(row.session for row in rows)
    changed = [replace(row, similarity=0.5) if row.session == last else row for row in rows]

    before = ranking.score(columns(rows, terms), question).estimated()
    after = ranking.score(columns(changed, terms), question).estimated()

    others = [at for at, row in enumerate(rows) if row.session != last]
    assert before[others].tolist() == after[others].tolist()


@given(corpora())
def test_without_sessions_a_row_does_not_feel_its_neighbours(corpus: tuple[list[Row], int]) -> None:
    rows, terms = corpus
    alone = [replace(row, session=0) for row in rows]

    scored = ranking.score(columns(alone, terms), None)

    assert scored.context_dense.tolist() == [0.0] * len(rows)
    assert scored.dense_weight.tolist() == [1.0] * len(rows)


def test_a_term_the_corpus_lacks_stays_in_the_divisor() -> None:
    rows = [Row((1, 0), 3), Row((0, 0), 3)]

    with_it, without = columns(rows, 2), columns(rows, 1)

    assert ranking.lexical(with_it, 2)[0] < 0.6 * ranking.lexical(without, 1)[0]


def test_terms_that_the_candidates_do_not_know_of_are_refused() -> None:
    candidates = columns([Row((1,) * 8, 8)], 8)

    with pytest.raises(ValueError, match="9 terms are asked for"):
        ranking.lexical(candidates, 9)


def test_a_question_of_text_alone_scores_by_its_words() -> None:
    rows = [Row((1,), 3, speaker=5), Row((0,), 3)]
    candidates = replace(columns(rows, 1), similarities=None)

    scored = ranking.score(candidates, Question((1,), "x", speaker=5))

    assert scored.dense_weight.tolist() == [0.0, 0.0]
    assert scored.estimated().tolist() == pytest.approx([slow_lexical(rows, 1)[0] + 0.06, 0.0])


def test_a_question_of_an_embedding_alone_scores_by_it() -> None:
    rows = [Row((1,), 3, similarity=0.7, marks=ENDS_ASKING)]

    scored = ranking.score(columns(rows, 1), None)

    assert scored.estimated().tolist() == pytest.approx([0.7])
    assert not scored.boosts


def test_nothing_to_rank_is_ranked() -> None:
    scored = ranking.score(columns([], 1), Question((1,), "x", 5, asks_when=True, date=AskedDate(5, 3)))

    assert ranking.best(scored, 10).tolist() == []


def random_candidates(rng: Generator, rows: int) -> Candidates:
    return Candidates(
        frequencies=np.zeros((0, rows), np.uint8),
        holders=np.zeros(0, np.int64),
        surroundings=Surroundings.of(np.zeros(rows, np.int64), rng.integers(1, 40, rows)),
        similarities=(rng.integers(-3, 4, rows) / 4).astype(np.float32),
        speakers=rng.integers(0, 3, rows).astype(np.int32),
        marks=rng.integers(0, 4, rows).astype(np.uint8),
        occurred_at_s=rng.integers(0, 5, rows),
    )


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(0, 70))
def test_best_is_the_head_of_the_sorted_whole(seed: int, rows: int, count: int) -> None:
    candidates = random_candidates(default_rng(seed), rows)
    scored = ranking.score(candidates, None)
    scores = scored.estimated()

    found = ranking.best(scored, count)

    newest_first = sorted(range(rows), key=lambda at: (-scores[at], -candidates.occurred_at_s[at], -at))
    assert found.tolist() == newest_first[:count]


def test_an_explanation_has_the_exact_similarity_in_place_of_the_rows_own() -> None:
    rows = [Row((1,), 3, session=1, similarity=0.2), Row((0,), 3, session=1, similarity=0.9)]
    question = Question((1,), "x")

    told = ranking.score(columns(rows, 1), question).explain(0, similarity=0.4, salience_now=0)

    corrected = [replace(rows[0], similarity=0.4), rows[1]]
    assert told.relevance == pytest.approx(ranking.score(columns(corrected, 1), question).estimated()[0])


def test_an_explanation_adds_up() -> None:
    rows = [Row((1,), 3, 1, 0.2, speaker=5, marks=HAS_TIME | ENDS_ASKING), Row((2,), 9, 1, 0.9)]

    scored = ranking.score(columns(rows, 1), Question((1,), "x", speaker=5, asks_when=True))
    told = scored.explain(0, similarity=0.3, salience_now=0.5)

    score = told.lexical + told.dense + told.context_dense + 0.06 + 0.06 - 0.05
    assert told.boosts == pytest.approx({"speaker": 0.06, "when": 0.06, "question": -0.05, "salience": score * 0.015})
    assert told.relevance == pytest.approx(score * 1.015)


def test_the_estimate_follows_the_angle() -> None:
    assert ranking.estimate(np.array([0, 128, 256], np.uint16), 256).tolist() == pytest.approx([1, 0, -1], abs=1e-6)


@given(st.floats(-1, 1), st.floats(0, 1))
def test_salience_adds_its_share_of_a_score_above_nothing(similarity: float, salience: float) -> None:
    scored = ranking.score(columns([Row((), 1, 0, similarity)], 0), None)

    told = scored.explain(0, similarity, salience)

    assert told.relevance == pytest.approx(similarity * (1 + 0.03 * salience) if similarity > 0 else similarity)
