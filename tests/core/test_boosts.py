"""What is added to a memory's score for what a question asks besides its words."""

from dataclasses import dataclass

import numpy as np
import pytest

from openmemory.core import ranking
from openmemory.core.candidates import Candidates, Surroundings
from openmemory.core.dates import AskedDate
from openmemory.core.question import Question
from openmemory.core.text import ENDS_ASKING, HAS_TIME

MAY_8TH_S = 1_683_504_000


@dataclass(frozen=True, slots=True)
class Row:
    """What the boosts look at in a memory."""

    speaker: int = 0
    marks: int = 0
    occurred_at_s: int = 0


def boost_of(row: Row, question: Question) -> float:
    """Return what `question` adds to the score of `row`, which shares no word with it."""
    candidates = Candidates(
        frequencies=np.zeros((len(question.terms), 1), np.uint8),
        holders=np.zeros(len(question.terms), np.int64),
        surroundings=Surroundings.of(np.zeros(1, np.int64), np.ones(1, np.int64)),
        similarities=None,
        speakers=np.array([row.speaker], np.int32),
        marks=np.array([row.marks], np.uint8),
        occurred_at_s=np.array([row.occurred_at_s], np.int64),
    )
    return float(ranking.score(candidates, question).partial[0])


def test_a_memory_of_the_speaker_named_is_boosted() -> None:
    question = Question((1,), "x", speaker=-5)

    assert boost_of(Row(speaker=-5), question) == pytest.approx(0.06)
    assert boost_of(Row(speaker=5), question) == 0


def test_a_time_expression_is_boosted_when_time_is_asked_for() -> None:
    assert boost_of(Row(marks=HAS_TIME), Question((1,), "x", asks_when=True)) == pytest.approx(0.06)
    assert boost_of(Row(marks=HAS_TIME), Question((1,), "x")) == 0


def test_a_memory_that_asks_answers_less() -> None:
    assert boost_of(Row(marks=ENDS_ASKING), Question((1,), "x")) == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("asked", "days_later", "boost"),
    [
        (AskedDate(5, 8, 2023), 0, 0.15),
        (AskedDate(5, 8, 2023), -1, 0.15),
        (AskedDate(5, 8, 2023), 7, 0.15),
        (AskedDate(5, 8, 2023), 8, 0.1),
        (AskedDate(5, 30, 2023), 26, 0.15),
        (AskedDate(5, 30, 2022), 0, 0),
        (AskedDate(5, None, 2023), 0, 0.1),
        (AskedDate(5), 0, 0.1),
        (AskedDate(5), 24, 0.07),
        (AskedDate(5), 32, 0),
        (AskedDate(4), 0, 0),
        (AskedDate(4), -3, 0.07),
    ],
)
def test_nearness_to_the_date_asked_is_boosted(asked: AskedDate, days_later: int, boost: float) -> None:
    row = Row(occurred_at_s=MAY_8TH_S + days_later * 86_400)

    assert boost_of(row, Question((1,), "x", date=asked)) == pytest.approx(boost)
