"""Long questions: sixteen terms count, each with its own frequency."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.core.candidates import Candidates
from openmemory.core.corpus import Corpus
from openmemory.core.memory import Asked, Told
from openmemory.core.scope import Scope
from openmemory.core.text import term_key, terms
from openmemory.postgres import vectors
from openmemory.postgres.database import Database
from tests.factories import a_scope
from tests.service.conftest import Rooms

WORDS = tuple(f"zq{letter}" for letter in "abcdefghijklmnopqrst")
KEYS = [term_key(terms(word)[0]) for word in WORDS]


def _frequencies(candidates: Candidates, count: int) -> list[list[int]]:
    assert len(candidates.frequencies) == count
    return [[int(number) for number in row] for row in candidates.frequencies.T]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=16, max_size=16), min_size=1, max_size=6),
    st.integers(1, 16),
)
async def test_every_term_of_a_question_is_counted_in_every_memory(
    still_rooms: Rooms, database: Database, counts: list[list[int]], asked: int
) -> None:
    scope = a_scope()
    told = [
        Told(" ".join([f"n{place}", *(word for word, many in zip(WORDS, row, strict=False) for _ in range(many))]))
        for place, row in enumerate(counts)
    ]
    await still_rooms.memories.add_all(scope, told)

    async with database.tenant(scope) as tx:
        columns = (await vectors.rows(tx)).decoded()
    corpus = Corpus.of(columns)

    assert _frequencies(corpus.candidates(tuple(KEYS[:asked]), None), asked) == [
        [min(many, 7) for many in row[:asked]] for row in counts
    ]
    assert corpus.turns.lengths.tolist() == [sum(row) + 1 for row in counts]


async def test_the_common_words_of_a_large_scope_are_sampled_from_all_its_users(
    rooms: Rooms, database: Database, scope: Scope
) -> None:
    for user, count, word in (("ada", 200, "zqcoffee"), ("ben", 300, "zqinvoice")):
        await rooms.memories.add_all(scope, [Told(f"n{place} {word}", user_id=user) for place in range(count)])

    async with database.tenant(scope) as tx:
        sample, whole = await vectors.term_sample(tx, 100), await vectors.term_sample(tx, 500)

    coffee, invoice = (sum(term_key(word) in row for row in sample) for word in ("zqcoffe", "zqinvoic"))
    assert 10 < coffee < 80
    assert 20 < invoice < 110
    assert len(whole) == 500


def test_the_words_of_these_tests_are_different_terms() -> None:
    assert max(Counter(KEYS).values()) == 1


@pytest.mark.parametrize("count", [1, 8, 9, 16])
async def test_each_of_up_to_sixteen_terms_finds_its_memory(rooms: Rooms, scope: Scope, count: int) -> None:
    await rooms.memories.add_all(scope, [Told(word) for word in WORDS])

    found = await rooms.search.find(scope, Asked(" ".join(WORDS[:count]), k=100, explain=True))

    lexical = {match.memory.content for match in found.matches if match.explanation and match.explanation.lexical > 0}
    assert lexical == set(WORDS[:count])


async def test_beyond_sixteen_terms_the_first_sixteen_count(rooms: Rooms, scope: Scope) -> None:
    await rooms.memories.add_all(scope, [Told(word) for word in WORDS])

    found = await rooms.search.find(scope, Asked(" ".join(WORDS), k=100, explain=True))

    lexical = {match.memory.content for match in found.matches if match.explanation and match.explanation.lexical > 0}
    assert lexical == set(WORDS[:16])


@pytest.mark.parametrize("question", ["?!", "   .", "the of and", "\u2028", "x" * 10_000, "😀", "'; DROP TABLE x; --"])
async def test_a_question_without_a_known_word_is_still_answered(rooms: Rooms, scope: Scope, question: str) -> None:
    added = await rooms.memories.add(scope, Told("a pear tree"))

    found = await rooms.search.find(scope, Asked(question))

    assert [match.memory.id for match in found.matches] == [added.id]
