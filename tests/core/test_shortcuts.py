"""Texts that are spared a search get the answer that the search would give."""

from hypothesis import given
from hypothesis import strategies as st

from openmemory.core import dates, sectors

WORDS = [
    "last",
    "may",
    "May",
    "Monday",
    "weeks",
    "3rd",
    "2023",
    "ago",
    "step",
    "how",
    "to",
    "make",
    "sure",
    "is",
    "an",
    "teaches",
    "realized",
    "!!",
    "```",
    "the",
    "dog",
    "went",
    "home",
    "at",
    "9",
    "pm",
    "believe",
    "called",
    "me",
    "name",
    "learned",
    "that",
    "in",
    "morning",
    "this",
    "evening",
    "café",
    "übermorgen",
]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=40)


@given(texts)
def test_a_time_expression_is_found_as_by_the_search_itself(text: str) -> None:
    searched = dates._TIME.search(text) is not None or dates._MAY.search(text) is not None

    assert dates.has_time_expression(text) == searched


@given(texts)
def test_sectors_are_found_as_by_the_searches_themselves(text: str) -> None:
    folded = text.lower().translate(sectors._DIGITS_AS_ZERO)
    words = frozenset(sectors._WORD.findall(folded))

    points = [
        weight * (len(words & of_sector) + len(frozenset(phrases.findall(folded))))
        for weight, of_sector, _, _, phrases in sectors._RULES
    ]

    assert sectors._points(folded) == points
