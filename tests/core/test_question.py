"""What a question asks for."""

from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.dates import AskedDate
from openmemory.core.question import MAX_TERMS, Vocabulary, understand
from openmemory.core.text import speaker_key, term_key

TALK = Vocabulary(frozenset({"Caroline", "Melanie"}), frozenset({term_key("realli")}))
PEOPLE = Vocabulary(frozenset({"Anna Smith", "Anna Jones", "Jean-Luc Picard", "Dr. House", "Will", "user_1"}))


def test_a_question_is_understood_in_all_its_parts() -> None:
    question = understand("When did Caroline's dog really bark in June?", TALK)

    assert question.terms == tuple(map(term_key, ("carolin", "dog", "realli", "bark", "june")))
    assert question.embed_text == "When did dog bark in June?"
    assert question.speaker == speaker_key("Caroline")
    assert question.asks_when
    assert question.date == AskedDate(6)


def test_a_term_counts_once() -> None:
    assert understand("dogs and dog", Vocabulary()).terms == (term_key("dog"),)


def test_of_many_terms_the_first_16_count() -> None:
    words = [f"word{i}" for i in range(30)]

    assert understand(" ".join(words), Vocabulary()).terms == tuple(map(term_key, words[:MAX_TERMS]))


def test_without_vocabulary_the_whole_question_is_embedded() -> None:
    assert understand("What did Caroline really do?", Vocabulary()).embed_text == "What did Caroline really do?"


def test_where_only_stop_words_would_remain_the_whole_question_is_embedded() -> None:
    assert understand("Who is Caroline really?", TALK).embed_text == "Who is Caroline really?"


def test_two_speakers_named_are_no_one_speaker() -> None:
    question = understand("Did Melanie call Caroline to camp?", TALK)

    assert question.speaker is None
    assert question.embed_text == "Did call to camp?"


def test_one_speaker_named_twice_is_one() -> None:
    assert understand("Did MELANIE like melanie's car?", TALK).speaker == speaker_key("Melanie")


def test_a_name_inside_a_word_is_not_a_name() -> None:
    assert understand("Carolines and melanielike", TALK).speaker is None


def test_a_full_name_is_known() -> None:
    assert understand("What did anna smith eat?", PEOPLE).speaker == speaker_key("Anna Smith")


def test_a_first_name_is_enough_where_nobody_shares_it() -> None:
    assert understand("What did Jean-Luc eat?", PEOPLE).speaker == speaker_key("Jean-Luc Picard")


def test_a_shared_first_name_names_nobody() -> None:
    assert understand("What did Anna eat?", PEOPLE).speaker is None


def test_a_shared_first_name_means_the_one_also_named_in_full() -> None:
    assert understand("Did Anna Smith say what Anna ate?", PEOPLE).speaker == speaker_key("Anna Smith")


def test_a_title_is_not_a_first_name() -> None:
    assert understand("Did the dr eat?", PEOPLE).speaker is None
    assert understand("Did House eat?", PEOPLE).speaker == speaker_key("Dr. House")


def test_a_name_that_is_a_word_needs_its_capital_inside_the_sentence() -> None:
    assert understand("What did Will eat?", PEOPLE).speaker == speaker_key("Will")
    assert understand("Will they eat?", PEOPLE).speaker is None
    assert understand("When will they eat?", PEOPLE).speaker is None


def test_a_name_with_an_underscore_is_known() -> None:
    assert understand("What does user_1 eat?", PEOPLE).speaker == speaker_key("user_1")


def test_a_speaker_called_like_a_month_is_no_date() -> None:
    assert understand("What did April eat?", Vocabulary(frozenset({"April"}))).date is None


@given(st.text(), st.frozensets(st.text(min_size=1, max_size=12), max_size=4))
def test_any_question_is_understood(question: str, speakers: frozenset[str]) -> None:
    speakers = frozenset(name.encode("utf-8", "replace").decode() for name in speakers)

    understood = understand(question, Vocabulary(speakers))

    assert understood.embed_text or not question
    assert len(understood.terms) == len(set(understood.terms)) <= MAX_TERMS
