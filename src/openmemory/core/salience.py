"""How present a memory is: it fades with time and grows with recall.

Salience is a function of time. What is stored is a value and the instant when it was true, so how often a job
re-bases the pair never changes an answer: `faded(faded(s, r, a), r, b) == faded(s, r, a + b)`.
"""

from math import exp

# What a memory gains when it is said again or reinforced.
REINFORCEMENT = 0.1

# A rate so high that a microsecond takes everything. An infinite rate times zero days would be no number.
_ALL_AT_ONCE = 1e200
_INITIAL = 0.4
_PER_FURTHER_SECTOR = 0.1


def faded(salience: float, rate_per_day: float, days: float) -> float:
    """Return what is left of `salience` after `days`: salience * exp(-rate * days).

    Negative days count as none, so that a clock running behind adds nothing. The same formula in PostgreSQL
    (`openmemory_faded`) takes a salience below 1e-9 for 0, where this one goes on to the smallest number.
    """
    return salience * exp(-min(rate_per_day, _ALL_AT_ONCE) * max(days, 0.0))


def initial(sectors: int) -> float:
    """Return the salience of a new memory of that many sectors: 0.4, and 0.1 for each beyond the first."""
    return min(1.0, _INITIAL + _PER_FURTHER_SECTOR * max(sectors - 1, 0))
