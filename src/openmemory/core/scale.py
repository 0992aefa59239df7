"""The scale on which scores are shown: 0 to 1, whatever the question."""

from math import exp, log

# A memory that has half the question's words and some of its sense has a relevance of about 0.3, and shows 0.63.
_STEP = 0.3
# PostgreSQL adds the same parts up in another order than `shown` is given them.
_ROUNDING = 1e-6
# The largest score below 1, as far as doubles go.
_NEXT_TO_ONE = 1 - 2**-53


def shown(relevance: float) -> float:
    """Return the score of a relevance, which is what the ranking adds up: 1 - exp(-relevance / 0.3).

    Relevance is about 0.65 at best without boosts, since no real text reaches BM25's bound; shown as it is, a perfect
    answer would look poor. The scale keeps the order and the same relevance is the same score in every question.
    Below 0 all is 0.
    """
    return 1 - exp(-max(relevance, 0.0) / _STEP)


def least_relevance(min_score: float | None) -> float | None:
    """Return the lowest relevance of a memory with that score, less a margin for rounding; None leaves none out."""
    if min_score is None or min_score <= 0:
        return None
    return -_STEP * log(1 - min(min_score, _NEXT_TO_ONE)) - _ROUNDING
