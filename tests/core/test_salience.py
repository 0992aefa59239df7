"""The law of fading: how often a job runs never changes an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.core.salience import faded, initial
from openmemory.core.sectors import RATE_PER_DAY

saliences = st.floats(0, 1)
rates = st.sampled_from(sorted(RATE_PER_DAY.values()))
days = st.floats(0, 10_000)


@given(saliences, rates, days, days)
def test_decay_does_not_depend_on_how_often_the_job_runs(s: float, rate: float, a: float, b: float) -> None:
    assert faded(faded(s, rate, a), rate, b) == pytest.approx(faded(s, rate, a + b), abs=1e-12)


@given(saliences, rates, days, days)
def test_salience_never_grows_with_time(s: float, rate: float, a: float, b: float) -> None:
    assert 0 <= faded(s, rate, max(a, b)) <= faded(s, rate, min(a, b)) <= s


@given(saliences, rates, st.floats(-10_000, 0))
def test_days_before_the_value_was_true_count_as_none(s: float, rate: float, before: float) -> None:
    assert faded(s, rate, before) == s


def test_an_episode_loses_half_in_46_days() -> None:
    assert faded(1.0, 0.015, 46.2) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("sectors", "salience"), [(1, 0.4), (2, 0.5), (5, 0.8), (9, 1.0)])
def test_a_memory_of_more_sectors_starts_more_present(sectors: int, salience: float) -> None:
    assert initial(sectors) == pytest.approx(salience)
