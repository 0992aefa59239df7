"""Places in the order of arrival, as cursors carry them."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.memory import Place

MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS, st.uuids())
def test_every_place_is_read_as_it_was_written(created_at: datetime, memory_id: UUID) -> None:
    place = Place(created_at, memory_id)

    assert Place.parse(str(place)) == place


@pytest.mark.parametrize("day", ["0001-01-01", "1969-07-20", "5139-01-01", "9999-12-31"])
def test_the_ends_of_the_calendar_are_places_too(day: str) -> None:
    place = Place(datetime.fromisoformat(f"{day}T23:59:59.999999Z"), UUID(int=7))

    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "-", "1", "1-", f"--1-{'0' * 32}", f"{'9' * 18}-{'0' * 32}", f"\u0661-{'0' * 32}"]
)
def test_any_other_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="leave it out to begin with the newest"):
        Place.parse(text)
