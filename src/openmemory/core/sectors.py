"""The five kinds of memory, and the rules that tell which of them a text is.

Names, decay rates and weights are upstream OpenMemory's; the rules are our own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Sector(StrEnum):
    """A kind of memory; its order here is the order of its bit."""

    EPISODIC = "episodic"
    SEMANTIC = "semantic"
    PROCEDURAL = "procedural"
    EMOTIONAL = "emotional"
    REFLECTIVE = "reflective"

    @property
    def bit(self) -> int:
        """Return this sector's bit in a mask."""
        return 1 << _ORDER[self]


_ORDER = {sector: place for place, sector in enumerate(Sector)}

ALL_SECTORS = (1 << len(Sector)) - 1

RATE_PER_DAY = {
    Sector.EPISODIC: 0.015,
    Sector.SEMANTIC: 0.005,
    Sector.PROCEDURAL: 0.008,
    Sector.EMOTIONAL: 0.02,
    Sector.REFLECTIVE: 0.001,
}

WEIGHT = {
    Sector.EPISODIC: 1.2,
    Sector.SEMANTIC: 1.0,
    Sector.PROCEDURAL: 1.1,
    Sector.EMOTIONAL: 1.3,
    Sector.REFLECTIVE: 0.8,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """The sectors of a memory: the primary one, and all of them, the primary first."""

    primary: Sector
    sectors: tuple[Sector, ...]

    @property
    def mask(self) -> int:
        """Return the bits of all its sectors."""
        return mask(self.sectors)


def mask(sectors: Iterable[Sector]) -> int:
    """Return the bit mask of `sectors`."""
    bits = 0
    for sector in sectors:
        bits |= sector.bit
    return bits


def unmask(bits: int) -> tuple[Sector, ...]:
    """Return the sectors whose bits are set, in their order; bits beyond are ignored."""
    return tuple(sector for sector in Sector if bits & sector.bit)


# How much of a text is read: what a memory is shows early, and the time stays bounded.
_READ_CHARS = 10_000
# A further sector counts from this share of the primary one's points.
_CLOSE = 0.5

_WORDS = {
    Sector.EPISODIC: """
        yesterday today tonight tomorrow earlier recently ago once remembered recalled went met saw visited
        attended happened arrived traveled travelled flew moved celebrated discussed talked bought booked
        dinner lunch party trip wedding conference meeting concert appointment""",
    Sector.SEMANTIC: """
        means defined definition concept principle theory theorem explains fact facts contains includes uses
        supports requires located capital population statistic statistics study report birthday born speaks
        favorite favourite prefer prefers allergic version language city country history science""",
    Sector.PROCEDURAL: """
        step steps first then finally next afterwards install configure execute run deploy compile build clone
        click press type open unplug restart reset select command function method workflow procedure process
        guide tutorial recipe instructions algorithm""",
    Sector.EMOTIONAL: """
        feel feels feeling feelings felt emotion emotions mood happy happiness sad sadness angry anger anxious
        anxiety nervous worried worry afraid scared fear calm relaxed relieved excited thrilled proud ashamed
        guilty grateful thankful lonely depressed overwhelmed stressed frustrated frustrating annoyed upset
        hurt jealous disappointed love loves loved hate hates hated adore enjoy enjoyed miss missed cry cried
        tears joy amazing awesome wonderful fantastic beautiful terrible awful horrible ugh wow yay omg
        hope""",
    Sector.REFLECTIVE: """
        realize realized realizing realise realised realising reflect reflects reflecting reflection insight
        insights lesson lessons takeaway takeaways teaches hindsight retrospect pattern patterns conclusion
        conclude analysis improved growth perspective implication implications philosophy wisdom feedback
        purpose mindset""",
}

# Every repetition has a bound, so the time is linear in the text, whatever it says. Digits are read as 0.
_PHRASES = {
    Sector.EPISODIC: r"""
        \b(?:last\ (?:night|week|weekend|month|year|spring|summer|fall|autumn|winter|time)
          | this\ (?:morning|afternoon) | the\ other\ day | on\ (?:mon|tues|wednes|thurs|fri|satur|sun)day
          | in\ 0000 | 0000-00-00 | at\ 00?:00 | 00?\ ?[ap]m | back\ in | that\ time | i\ remember | remember\
          when | (?:called|told)\ me)\b""",
    Sector.SEMANTIC: r"""
        \b(?:(?:is|are)\ an? | refers\ to | known\ as | stands\ for | consists\ of | according\ to | name\ is
          | lives\ in | works\ (?:at|for|as))\b""",
    Sector.PROCEDURAL: r"""
        \b(?:how\ to | (?:drop|create)\ table | set\ up | turn\ (?:on|off) | make\ sure)\b | ``` | \bdef\ """,
    Sector.EMOTIONAL: r"!! | [\u2764\u2665\u263a\U0001f600-\U0001f64f\U0001f970-\U0001f97a]",
    Sector.REFLECTIVE: r"""
        \b(?:(?:learned|learnt)\ that | taught\ me | looking\ back | i\ (?:wonder|believe|should\ have)
          | meaning\ of)\b""",
}

_WORD = re.compile(r"[a-z]+")
_DIGITS_AS_ZERO = str.maketrans("123456789", "000000000")
_RULES = tuple(
    (sector, frozenset(_WORDS[sector].split()), re.compile(_PHRASES[sector], re.VERBOSE)) for sector in Sector
)


def classify(text: str, override: Sector | None = None) -> Classification:
    """Return the sectors of `text`; `override`, if given, is the only one.

    A sector's points are the different words and phrases of it in the first 10,000 characters, times its
    weight. The sector with most is primary, those with half as many belong as well; a text without any is
    semantic.
    """
    if override is not None:
        return Classification(override, (override,))
    points = _points(text[:_READ_CHARS].lower().translate(_DIGITS_AS_ZERO))
    ranked = sorted(Sector, key=points.__getitem__, reverse=True)
    primary = ranked[0]
    if not points[primary]:
        return Classification(Sector.SEMANTIC, (Sector.SEMANTIC,))
    near = tuple(sector for sector in ranked if points[sector] >= _CLOSE * points[primary])
    return Classification(primary, near)


def rules(sector: Sector) -> tuple[tuple[str, ...], str]:
    """Return the words that speak for a sector, and its phrases as a regular expression without white space."""
    return tuple(_WORDS[sector].split()), "".join(_PHRASES[sector].split())


def _points(text: str) -> dict[Sector, float]:
    words = frozenset(_WORD.findall(text))
    return {
        sector: WEIGHT[sector] * (len(words & of_sector) + len(frozenset(phrases.findall(text))))
        for sector, of_sector, phrases in _RULES
    }
