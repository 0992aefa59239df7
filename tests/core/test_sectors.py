"""Which kind of memory a text is."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.sectors import RATE_PER_DAY, WEIGHT, Sector, classify, mask, unmask


@pytest.mark.parametrize(
    ("content", "primary"),
    [
        ("Yesterday I met Kwame at Perth and we discussed the telescope (ticket 77538).", "episodic"),
        ("Last week Priya and Luc\u00eda attended the Node.js conference in H\u00e0 N\u1ed9i.", "episodic"),
        ("On Monday at 18:09 the incident INC-74382 happened in SQLite.", "episodic"),
        ("Remember when we went to Kyoto in 2019 and saw 17 whales?", "episodic"),
        ("flight booked for 2025-11-03", "episodic"),
        ("Project Borealis-337 uses Kubernetes 9.8 with port 54520.", "semantic"),
        ("Bob's birthday is March 15, gift idea: bicycle #468.", "semantic"),
        ("The doppler effect is defined as case 1012 in the biology report.", "semantic"),
        ("Step by step guide: install Next.js, configure port 33338, then execute it.", "procedural"),
        ("How to fix the printer: first unplug it, then press reset.", "procedural"),
        ("To build gRPC from source, clone tag v6, compile with -j39 and run the tests.", "procedural"),
        ("def main_save(): run the build first, then deploy", "procedural"),
        ("Ugh, I hate when gRPC crashes at 8 am; so calm and calm.", "emotional"),
        ("Wow, the view in Nairobi was amazing, I love mornings number 93!", "emotional"),
        ("I FEEL CALM ABOUT THE GUITAR THAT FATIMA GAVE ME, DAY 55!!", "emotional"),
        ("Looking back, my takeaway from project 190 is to review feedback earlier.", "reflective"),
        ("Analysis: the relationship improved because we reflect on it together.", "reflective"),
        ("I realized that the pattern teaches lesson 8232.", "reflective"),
    ],
)
def test_the_primary_sector_is_the_one_upstream_recorded(content: str, primary: str) -> None:
    assert classify(content).primary == primary


@pytest.mark.parametrize("content", ["ok", "a", "\U0001f44d\U0001f3fd", "\u6211\u7684\u732b", "undefined"])
def test_a_text_that_shows_nothing_is_semantic(content: str) -> None:
    assert classify(content).sectors == (Sector.SEMANTIC,)


def test_a_sector_that_scores_close_belongs_too() -> None:
    found = classify("I felt angry when the guitar broke, but I realized that the pattern repeats!")

    assert found.sectors == (Sector.EMOTIONAL, Sector.REFLECTIVE)
    assert found.mask == Sector.EMOTIONAL.bit | Sector.REFLECTIVE.bit


def test_an_override_is_the_only_sector() -> None:
    assert classify("I love it!!", Sector.PROCEDURAL).sectors == (Sector.PROCEDURAL,)


@given(st.text())
def test_any_text_has_a_primary_sector_among_its_sectors(content: str) -> None:
    found = classify(content)

    assert found.sectors[0] == found.primary
    assert len(set(found.sectors)) == len(found.sectors)


@given(st.sets(st.sampled_from(Sector)))
def test_a_mask_keeps_its_sectors(sectors: set[Sector]) -> None:
    assert set(unmask(mask(sectors))) == sectors
    assert mask(sectors) < 1 << len(Sector)


def test_bits_are_stored_and_never_move() -> None:
    assert {sector.value: sector.bit for sector in Sector} == {
        "episodic": 1,
        "semantic": 2,
        "procedural": 4,
        "emotional": 8,
        "reflective": 16,
    }


def test_every_sector_has_its_rate_and_weight() -> None:
    assert set(RATE_PER_DAY) == set(WEIGHT) == set(Sector)


@pytest.mark.parametrize("piece", ["a", " ", "!", "last ", "step ", "in 20", "w ago ", "1:1", "is a ", "`"])
def test_time_is_bounded_on_hostile_texts(piece: str) -> None:
    content = piece * (100_000 // len(piece))

    start = perf_counter()
    classify(content)

    assert perf_counter() - start < 1
