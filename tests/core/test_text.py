"""What a text is made of, and that stored numbers never change."""

from datetime import UTC, datetime, timedelta, timezone
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core import text
from openmemory.core.text import ENDS_ASKING, HAS_TIME, fingerprint, marks, terms

NOON = datetime(2023, 5, 8, 12, 0, tzinfo=UTC)


def test_terms_are_stems_without_stop_words() -> None:
    assert terms("We were painting the sunrises, weren't we?") == ["paint", "sunris", "weren"]


def test_irregular_forms_meet_their_base() -> None:
    assert terms("Mom's children ate") == terms("mother child eaten") == ["mom", "child", "eat"]


def test_a_word_is_cut_at_its_apostrophe_whichever_kind_it_is() -> None:
    assert terms("Caroline's dog") == terms("Caroline\u2019s dog") == ["carolin", "dog"]


def test_both_ways_to_write_an_accent_give_one_term() -> None:
    assert terms("cafe\u0301") == terms("caf\u00e9")


def test_unspaced_script_becomes_pairs_of_characters() -> None:
    assert terms("SQL\u6211\u6628\u5929 ok") == ["sql", "\u6211\u6628", "\u6628\u5929", "ok"]
    assert terms("\u732b") == ["\u732b"]


@given(st.text())
def test_any_text_has_terms_that_are_words(content: str) -> None:
    assert all(term and not term.isspace() for term in terms(content))


def test_a_word_without_end_is_cut_so_that_the_cache_stays_small() -> None:
    assert max(map(len, terms("x" * 1_000))) == 64


def test_a_word_with_an_endless_ending_is_not_kept_in_the_cache() -> None:
    endless = "dog'" + "s" * 10_000

    assert terms(endless) == ["dog"]
    assert text.term_vector(endless, 8).keys == (text.term_key("dog"),)
    assert endless not in text._word_keys


@pytest.mark.parametrize(
    ("term", "key"),
    [("paint", 482708980), ("eat", 254261431), ("camp", 497366207), ("\u65e5\u672c", 432602103)],
)
def test_term_keys_are_the_same_for_ever(term: str, key: int) -> None:
    assert text.term_key(term) == key


@given(st.text())
def test_term_keys_fit_29_bits(term: str) -> None:
    assert 0 <= text.term_key(term.encode("utf-8", "replace").decode()) < 2**29


def test_a_term_vector_counts_and_is_sorted() -> None:
    vector = text.term_vector("camp camp eat the camp", cap=10)

    assert vector.keys == (text.term_key("eat"), text.term_key("camp"))
    assert vector.frequencies == (1, 3)
    assert vector.length == 4


def test_a_frequency_is_capped_and_the_length_is_not() -> None:
    vector = text.term_vector("camp " * 50, cap=10)

    assert vector.frequencies == (7,)
    assert vector.length == 50


def test_a_capped_vector_keeps_the_most_frequent_then_the_first_seen() -> None:
    vector = text.term_vector("apple banana cherry cherry", cap=2)

    assert set(vector.keys) == {text.term_key("cherri"), text.term_key("appl")}
    assert vector.length == 4


@given(st.text(), st.integers(1, 8))
def test_a_term_vector_has_ascending_keys_and_frequencies_of_1_to_7(content: str, cap: int) -> None:
    vector = text.term_vector(content, cap)

    assert len(vector.keys) == len(vector.frequencies) <= cap
    assert list(vector.keys) == sorted(set(vector.keys))
    assert all(1 <= frequency <= 7 for frequency in vector.frequencies)
    assert vector.length == len(terms(content))


def test_a_term_vector_keeps_at_least_one_term() -> None:
    with pytest.raises(ValueError, match="cap is 0"):
        text.term_vector("camp", 0)


def test_a_speaker_stands_in_front_of_what_was_said() -> None:
    assert text.spoken("Hi", "Anna") == "Anna: Hi"
    assert text.spoken("Hi", None) == "Hi"


def test_fingerprints_are_the_same_for_ever() -> None:
    assert str(fingerprint("Hello world")) == "5ccf05bf-d186-819f-e10a-bbba982eca42"
    full = fingerprint(
        "Yes.",
        user="alice",
        project="p",
        session="s",
        speaker="Bob",
        occurred_at=datetime(2023, 5, 8, 13, 56, tzinfo=UTC),
    )
    assert str(full) == "5ef60a04-4a7b-c65d-9481-3bc5b62c5c6f"


@pytest.mark.parametrize("same", ["hello  WORLD", " Hello world. ", "Hello world..\u3002", "Hello\nworld . ."])
def test_case_space_and_final_stops_do_not_make_another_memory(same: str) -> None:
    assert fingerprint(same) == fingerprint("Hello world")


@pytest.mark.parametrize("other", ["Hello world?", "Hello world!", "Hello, world", "Hello worlds", "world Hello"])
def test_another_mark_or_another_word_makes_another_memory(other: str) -> None:
    assert fingerprint(other) != fingerprint("Hello world")


def test_a_text_of_stops_alone_keeps_its_identity() -> None:
    assert fingerprint("...") != fingerprint("!")


def test_compatibility_forms_are_one_memory() -> None:
    assert fingerprint("\uff21\uff22\uff23 \ufb01sh") == fingerprint("abc fish")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10\u00b2 = 100", "102 = 100"),
        ("x\u2082 = 5", "x2 = 5"),
        ("x\u00b2 = 5", "x\u2082 = 5"),
        ("2\u207b\u00b3", "2\u22123"),
        ("page 10\u2460", "page 101"),
        ("2\u00bd cups", "21\u20442 cups"),
        ("1\u00aa", "1a"),
        ("5! = 120", "5 = 120"),
        ("n = 5!", "n = 5"),
    ],
)
def test_what_means_something_else_is_another_memory(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_of_what_means_something_else_the_case_does_not_count() -> None:
    assert fingerprint("\u24b6 CM\u00b2.") == fingerprint("\u24d0 cm\u00b2")


def test_who_said_it_where_and_when_makes_another_memory() -> None:
    told = [
        fingerprint("Yes"),
        fingerprint("Yes", user="a"),
        fingerprint("Yes", project="a"),
        fingerprint("Yes", session="a"),
        fingerprint("Yes", speaker="a"),
        fingerprint("Yes", occurred_at=NOON),
        fingerprint("Yes", occurred_at=NOON + timedelta(microseconds=1)),
    ]
    assert len(set(told)) == len(told)


def test_one_instant_in_two_time_zones_is_one_memory() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert fingerprint("Yes", occurred_at=elsewhere) == fingerprint("Yes", occurred_at=NOON)


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        fingerprint("Yes", occurred_at=datetime(2023, 5, 8))  # noqa: DTZ001 - what is being refused


name = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(name, name, name, name)
def test_the_parts_of_a_fingerprint_do_not_run_into_each_other(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        assert fingerprint("x", user=a, project=b) != fingerprint("x", user=c, project=d)


@pytest.mark.parametrize("asking", ["Why?", "Why? ", "\u201cWhy?\u201d", "(why?)", "\u4e3a\u4ec0\u4e48\uff1f"])
def test_a_text_that_ends_by_asking_is_marked(asking: str) -> None:
    assert marks(asking) == ENDS_ASKING


@pytest.mark.parametrize(
    "said", ["I went yesterday", "In March we met", "two years ago", "on the 3rd", "In May", "back in 2019"]
)
def test_a_text_that_says_when_is_marked(said: str) -> None:
    assert marks(said) == HAS_TIME


def test_both_marks_can_stand_together() -> None:
    assert marks("Did you go last week?") == ENDS_ASKING | HAS_TIME


@pytest.mark.parametrize("plain", ["You may go", "Why? Because.", "I like it", "room 2019a"])
def test_other_texts_bear_no_mark(plain: str) -> None:
    assert marks(plain) == 0


@pytest.mark.parametrize(("speaker", "key"), [("Caroline", 525810227), ("\u7528\u6237-\u5c0f\u660e", -709315997)])
def test_speaker_keys_are_the_same_for_ever(speaker: str, key: int) -> None:
    assert text.speaker_key(speaker) == key


@given(name)
def test_speaker_keys_fit_a_signed_int_and_are_never_nobody(speaker: str) -> None:
    assert -(2**31) <= text.speaker_key(speaker) < 2**31
    assert text.speaker_key(speaker) != 0


def test_the_case_of_a_name_does_not_matter() -> None:
    assert text.speaker_key("CAROLINE ") == text.speaker_key("caroline")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("x" * 11, "is 11 characters long; at most 10"),
        ("nul\0", "NUL"),
        ("a \ud83d b", "lone surrogate"),
    ],
)
def test_what_cannot_be_stored_is_said(content: str, problem: str) -> None:
    found = text.text_problem(content, 10)

    assert found is not None
    assert problem in found


def test_an_ordinary_text_has_no_problem() -> None:
    assert text.text_problem("\U0001f600 ok", 10) is None


@pytest.mark.parametrize("mark", ["\u0301", "\uff9e"])
def test_of_a_run_of_marks_the_first_30_count(mark: str) -> None:
    fingerprints = [fingerprint("o" + mark * count) for count in (29, 30, 31, 500)]

    assert fingerprints[0] != fingerprints[1] == fingerprints[2] == fingerprints[3]
    assert terms("ferry " + mark * 31) == terms("ferry " + mark * 30)


PIECES = [
    "a",
    "a ",
    "\u00b2",
    "\u00b2\u0301",
    "'",
    "in 20",
    "1",
    '?"',
    "five ",
    "Jan ",
    "\u732b",
    "\u0301\u0323",
    "\uff9e\u0301",
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_on_hostile_texts(piece: str) -> None:
    content = piece * (100_000 // len(piece))

    start = perf_counter()
    terms(content), marks(content), fingerprint(content)

    assert perf_counter() - start < 2
