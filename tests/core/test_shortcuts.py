"""Texts that are spared a search get the answer that the search would give."""

import unicodedata
from collections import Counter

from hypothesis import assume, example, given
from hypothesis import strategies as st

from openmemory.core import dates, sectors
from openmemory.core import text as text_rules
from openmemory.core.scope import name_problem

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
    "o'clock",
    "dogs'",
    "a_b",
    "2019,",
    "20190",
    "2019_",
    "(3RD)",
    "103rd",
    "7",
    "x" * 70,
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

    expected = []
    for sector, search in zip(sectors.Sector, sectors._SEARCHES, strict=True):
        expected.append(len(words & frozenset(sectors._WORDS[sector].split())) + len(frozenset(search.findall(folded))))

    assert sectors._folded(text) == folded
    assert sectors._counts(folded) == expected


@given(texts | st.text("ab'1_ A-", max_size=200) | st.text(st.characters(codec="ascii"), max_size=200))
def test_the_terms_of_a_plain_text_are_those_that_the_search_itself_finds(text: str) -> None:
    assume(text.isascii())
    found = (text_rules.term_key(term) for term in text_rules.terms(text))

    assert text_rules._keys(text) == list(found)


@given(st.text(st.characters(codec="ascii"), max_size=100))
def test_a_plain_text_counts_as_the_same_as_by_composing_and_folding_it(text: str) -> None:
    collapsed = " ".join(text_rules._folded(text).split())

    assert text_rules._normalised(text) == (collapsed.rstrip(". ") or collapsed)


@given(st.text("\u7530\u6211\u30ab're n1A_-\u2019", max_size=40) | st.text(max_size=200) | texts, st.integers(1, 5))
@example("\u7530\u4e2d're", 5)
def test_the_terms_of_a_text_are_those_of_its_words_one_by_one(text: str, cap: int) -> None:
    counts = Counter(text_rules.term_key(term) for term in text_rules.terms(text))

    found = text_rules.term_vector(text, cap)

    kept = sorted(counts.most_common(cap))
    assert list(zip(found.keys, found.frequencies, strict=True)) == [(key, min(n, 7)) for key, n in kept]
    assert found.length == counts.total()


@given(st.text(max_size=140))
def test_a_name_is_refused_as_by_looking_at_each_character(name: str) -> None:
    allowed = 1 <= len(name.encode(errors="surrogatepass")) <= 128 and all(
        unicodedata.category(character) not in ("Cc", "Cs") for character in name
    )

    assert (name_problem(name) is None) == allowed
