"""The columns that questions are put to: their order, what a question learns of each row, and how they grow."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core import corpus as corpora
from openmemory.core.candidates import Candidates
from openmemory.core.corpus import Columns, Corpus, Turns
from openmemory.core.memory import Embedding
from openmemory.core.ranking import estimate

BITS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One row as plain Python has it; `code` is None without an embedding."""

    memory: int
    place: int
    session: int
    occurred_at_s: int
    terms: dict[int, int]
    code: int | None


def columns(rows: list[Row]) -> Columns:
    """Return `rows` as the database sends them."""
    keys = [sorted(row.terms) for row in rows]
    turns = Turns(
        ids=np.frombuffer(b"".join(row.memory.to_bytes(16, "big") for row in rows), "V16"),
        places=np.array([row.place for row in rows], np.int64),
        sessions=np.array([row.session for row in rows], np.int64),
        occurred_at_us=np.array([row.occurred_at_s * 1_000_000 for row in rows], np.int64),
        speakers=np.array([row.memory for row in rows], np.int32),
        marks=np.zeros(len(rows), np.uint8),
        lengths=np.array([sum(row.terms.values()) for row in rows], np.int64),
    )
    return Columns(
        turns,
        codes=np.frombuffer(b"".join((row.code or 0).to_bytes(8, "big") for row in rows), np.uint8).reshape(-1, 8),
        embedded=np.array([row.code is not None for row in rows], np.bool_),
        term_counts=np.array([len(row.terms) for row in rows], np.int64),
        keys=np.array([key for some in keys for key in some], np.int32),
        frequencies=np.array([row.terms[key] for row, some in zip(rows, keys, strict=True) for key in some], np.uint8),
    )


def direction(code: int) -> Embedding:
    """Return a vector whose sign bits are `code`."""
    return np.array([1 if code >> (BITS - 1 - bit) & 1 else -1 for bit in range(BITS)], np.float32)


@st.composite
def some_rows(draw: st.DrawFn) -> list[Row]:
    """Return rows in any order, each memory with a place of its own and with a row or several."""
    terms = st.dictionaries(st.integers(0, 20), st.integers(1, 7), max_size=6)
    codes = st.one_of(st.none(), st.integers(0, 2**BITS - 1))
    several = st.lists(codes, min_size=1, max_size=3)
    parts = draw(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3), terms, several), max_size=30))
    rows = [
        Row(place, place, session, moment_s, said, code)
        for place, (session, moment_s, said, some) in enumerate(parts, 1)
        for code in some
    ]
    return draw(st.permutations(rows))


def in_conversation_order(rows: list[Row]) -> list[Row]:
    """Return one row of each memory."""
    one = {row.memory: row for row in rows}
    return sorted(one.values(), key=lambda row: (row.session, row.occurred_at_s, row.place))


def distance(rows: list[Row], memory: int, asked: int) -> int:
    """Return how many bits of the nearest code of a memory differ; half of them where it has none."""
    known = [(row.code ^ asked).bit_count() for row in rows if row.memory == memory and row.code is not None]
    return min(known, default=BITS // 2)


@given(some_rows())
def test_turns_of_a_session_are_side_by_side_in_their_order(rows: list[Row]) -> None:
    corpus = Corpus.of(columns(rows))

    assert corpus.turns.speakers.tolist() == [row.memory for row in in_conversation_order(rows)]


@given(some_rows(), st.lists(st.integers(0, 25), max_size=16, unique=True))
def test_a_question_learns_the_frequency_of_each_term_in_each_row(rows: list[Row], terms: list[int]) -> None:
    candidates = Corpus.of(columns(rows)).candidates(tuple(terms), None)

    wanted = [[row.terms.get(term, 0) for row in in_conversation_order(rows)] for term in terms]
    assert candidates.frequencies.tolist() == wanted
    assert candidates.holders.tolist() == [sum(count > 0 for count in column) for column in wanted]


@given(some_rows(), st.integers(0, 2**BITS - 1))
def test_a_similarity_is_estimated_from_the_bits_of_the_nearest_code_that_differ(rows: list[Row], asked: int) -> None:
    found = Corpus.of(columns(rows)).candidates((), direction(asked)).similarities

    differing = [distance(rows, row.memory, asked) for row in in_conversation_order(rows)]
    assert found is not None
    assert found.tolist() == estimate(np.array(differing, np.uint16), BITS).tolist()


@pytest.mark.parametrize("looked_up", [0, 256], ids=["sorted anew", "looked up"])
@given(rows=some_rows(), known=st.integers(0, 30), asked=st.integers(0, 2**BITS - 1))
def test_a_corpus_that_grew_is_the_one_that_is_read_at_once(
    looked_up: int, rows: list[Row], known: int, asked: int
) -> None:
    early = [row for row in rows if row.memory <= known]
    late = [row for row in rows if row.memory > known]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "_LOOKED_UP", looked_up)
        grown = Corpus.of(columns(early)).with_more(Corpus.of(columns(late)))

    whole = Corpus.of(columns(rows))
    question = (tuple(range(9)), direction(asked))
    assert grown.size_bytes == whole.size_bytes
    assert grown.turns.ids.tobytes() == whole.turns.ids.tobytes()
    for name in ("places", "sessions", "occurred_at_us"):
        assert getattr(grown.turns, name).tolist() == getattr(whole.turns, name).tolist()
    assert _plain(grown.candidates(*question)) == _plain(whole.candidates(*question))


def _plain(candidates: Candidates) -> list[object]:
    around, similarities = candidates.surroundings, candidates.similarities
    assert similarities is not None
    return [
        candidates.frequencies.tolist(),
        [column.tolist() for column in (candidates.holders, candidates.occurred_at_s)],
        [column.tolist() for column in (around.norms, around.own_weights, similarities)],
        [candidates.speakers.tolist(), candidates.marks.tolist()],
        [(distance, weights.tolist()) for distance, weights in around.context.lexical],
        [(distance, weights.tolist()) for distance, weights in around.context.dense],
    ]


def test_of_several_rows_of_a_memory_one_counts() -> None:
    rows = [Row(1, 1, 5, 0, {3: 1}, 7), Row(1, 1, 5, 0, {3: 1}, 8), Row(2, 2, 5, 0, {3: 2}, 9)]

    corpus = Corpus.of(columns(rows))

    assert corpus.turns.speakers.tolist() == [1, 2]
    assert corpus.candidates((3,), None).holders.tolist() == [2]


@pytest.mark.parametrize("bits", [8, 72, 100])
def test_codes_of_any_length_are_compared(bits: int) -> None:
    one = columns([Row(1, 1, 0, 0, {}, 0)])
    embedding = np.ones(bits, np.float32)
    code = np.packbits(np.arange(bits) % 2 == 0)[np.newaxis]
    found = Corpus.of(replace(one, codes=code)).candidates((), embedding).similarities

    assert found is not None
    assert found.tolist() == pytest.approx([np.cos(np.pi * (bits // 2) / bits)], abs=1e-6)
