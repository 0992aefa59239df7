"""Time as people write it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.dates import (
    AskedDate,
    Seconds,
    asked_date,
    asks_when,
    in_month,
    in_week_after_month,
    near_day,
)


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What happened on 3 June, 2023?", AskedDate(6, 3, 2023)),
        ("What happened on 8th December, 2023?", AskedDate(12, 8, 2023)),
        ("What happened on the 8th of December?", AskedDate(12, 8)),
        ("What happened on October 13, 2023?", AskedDate(10, 13, 2023)),
        ("What was said on December 1,2023?", AskedDate(12, 1, 2023)),
        ("Where was he after August 11?", AskedDate(8, 11)),
        ("Where was he on Sept. 5th?", AskedDate(9, 5)),
        ("Where was he on 2023-08-11?", AskedDate(8, 11, 2023)),
        ("What did she do in July 2023?", AskedDate(7, None, 2023)),
        ("What did she do in July of 2023?", AskedDate(7, None, 2023)),
        ("When did she camp in June?", AskedDate(6)),
        ("Where was she in May?", AskedDate(5)),
        ("WHERE WAS SHE IN MAY 2023?", AskedDate(5, None, 2023)),
        ("What about 31 June?", AskedDate(6)),
        ("What about 2024-13-01?", None),
    ],
)
def test_the_date_asked_about_is_read(question: str, asked: AskedDate | None) -> None:
    assert asked_date(question) == asked


@pytest.mark.parametrize(
    "question",
    ["When may I go?", "May I go?", "March on!", "Did they march?", "What did Jan say?", "In 2023?", "Maybe"],
)
def test_what_only_looks_like_a_month_is_none(question: str) -> None:
    assert asked_date(question) is None


@pytest.mark.parametrize("question", ["When did he go?", "How long is it?", " what year was it", "Which day?", "WHEN?"])
def test_a_question_may_ask_when(question: str) -> None:
    assert asks_when(question)


@pytest.mark.parametrize("question", ["Whenever he went", "What did he do when?", "How longing", "What a day"])
def test_a_question_may_ask_something_else(question: str) -> None:
    assert not asks_when(question)


def seconds(*days: str) -> Seconds:
    return np.array([datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in days], np.int64)


def test_a_month_begins_and_ends_at_midnight() -> None:
    moments = seconds("2023-05-31T23:59:59", "2023-06-01", "2023-06-30T23:59:59", "2023-07-01", "2022-06-15")

    assert in_month(moments, AskedDate(6, None, 2023)).tolist() == [False, True, True, False, False]
    assert in_month(moments, AskedDate(6)).tolist() == [False, True, True, False, True]


def test_near_is_from_the_day_before_to_seven_days_after() -> None:
    moments = seconds("2023-06-01T23:59", "2023-06-02", "2023-06-10T23:59", "2023-06-11", "2024-06-03")

    assert near_day(moments, AskedDate(6, 3, 2023)).tolist() == [False, True, True, False, False]
    assert near_day(moments, AskedDate(6, 3)).tolist() == [False, True, True, False, True]


def test_near_reaches_over_new_year_when_no_year_is_named() -> None:
    assert near_day(seconds("2024-01-05"), AskedDate(12, 31)).tolist() == [True]
    assert near_day(seconds("2023-12-31"), AskedDate(1, 1)).tolist() == [True]


def test_the_29th_of_february_exists_in_leap_years_only() -> None:
    assert near_day(seconds("2023-03-01", "2024-03-01"), AskedDate(2, 29)).tolist() == [False, True]
    assert near_day(seconds("2023-03-01"), AskedDate(2, 29, 2023)).tolist() == [False]


def test_nearness_needs_a_day() -> None:
    with pytest.raises(ValueError, match="has no day"):
        near_day(seconds("2023-03-01"), AskedDate(3))


def test_the_week_after_a_month_is_its_next_seven_days() -> None:
    moments = seconds("2023-12-31T23:59", "2024-01-01", "2024-01-07T23:59", "2024-01-08")

    assert in_week_after_month(moments, AskedDate(12)).tolist() == [False, True, True, False]


def test_no_moments_are_no_flags() -> None:
    assert in_month(seconds(), AskedDate(12)).tolist() == []


moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))  # noqa: DTZ001 - hypothesis wants naive bounds


@given(st.lists(moments, min_size=1), st.integers(1, 12), st.none() | st.integers(1990, 2030))
def test_months_agree_with_the_calendar(days: list[datetime], month: int, year: int | None) -> None:
    days = [day.replace(tzinfo=UTC) for day in days]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moments_s = np.array([(day - epoch) // timedelta(seconds=1) for day in days], np.int64)

    expected = [day.month == month and year in (None, day.year) for day in days]

    assert in_month(moments_s, AskedDate(month, None, year)).tolist() == expected
