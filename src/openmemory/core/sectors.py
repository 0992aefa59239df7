"""The five kinds of memory, and the rules that tell which of them a text is.

Names, decay rates and weights are upstream OpenMemory's; the rules are our own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache


class Sector(StrEnum):
    """A kind of memory; its order here is the order of its bit."""

    EPISODIC = "episodic"
    SEMANTIC = "semantic"
    PROCEDURAL = "procedural"
    EMOTIONAL = "emotional"
    REFLECTIVE = "reflective"

    __hash__ = str.__hash__  # Enum's own is written in Python, and sectors are looked up for each memory

    @property
    def bit(self) -> int:
        """Return this sector's bit in a mask."""
        return 1 << _ORDER[self]


_ORDER = {sector: place for place, sector in enumerate(Sector)}

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
        return _mask_of(self.sectors)


@cache
def _mask_of(sectors: tuple[Sector, ...]) -> int:
    return mask(sectors)


def mask(sectors: Iterable[Sector]) -> int:
    """Return the bit mask of `sectors`."""
    bits = 0
    for sector in sectors:
        bits |= sector.bit
    return bits


def unmask(bits: int) -> tuple[Sector, ...]:
    """Return the sectors whose bits are set, in their order; bits beyond are ignored."""
    return tuple(sector for sector in Sector if bits & sector.bit)


# Only so much of a text is read: its kind shows early, and the time stays bounded.
_READ_CHARS = 10_000
_COUNTS_KEPT = 1 << 12
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

# Each phrase of a sector contains one of these words or pieces; a text without them needs no search for phrases.
_PHRASE_WORDS = {
    Sector.EPISODIC: """
        last morning afternoon other monday tuesday wednesday thursday friday saturday sunday back time remember
        called told""",
    Sector.SEMANTIC: "is are refers known stands consists according name lives works",
    Sector.PROCEDURAL: "how table set turn make def",
    Sector.EMOTIONAL: "",
    Sector.REFLECTIVE: "learned learnt taught looking wonder believe should meaning",
}
_PHRASE_PIECES = {Sector.EPISODIC: "0", Sector.PROCEDURAL: "```", Sector.EMOTIONAL: "!!"}

_WORD = re.compile(r"[a-z]+")
_DIGITS_AS_ZERO = str.maketrans("123456789", "000000000")
_ASCII_FOLDED = {code: "0" if chr(code).isdigit() else chr(code).lower() for code in range(128)}
_ASCII_TO_WORDS = {code: chr(code) if "a" <= chr(code) <= "z" else " " for code in range(128)}
_IN_ORDER = tuple(Sector)
_WEIGHTS = tuple(WEIGHT[sector] for sector in Sector)
_SEARCHES = tuple(re.compile(_PHRASES[sector], re.VERBOSE) for sector in Sector)
_PIECES = tuple((piece, _IN_ORDER.index(sector)) for sector, piece in _PHRASE_PIECES.items())


def _places_by_word(words_of: dict[Sector, str]) -> dict[str, tuple[int, ...]]:
    """Return for each word the places of the sectors that have it."""
    found: dict[str, tuple[int, ...]] = {}
    for place, sector in enumerate(Sector):
        for word in set(words_of[sector].split()):
            found[word] = (*found.get(word, ()), place)
    return found


_SPEAKS_FOR, _HINTS_AT = _places_by_word(_WORDS), _places_by_word(_PHRASE_WORDS)
_TELLING = frozenset(_SPEAKS_FOR) | frozenset(_HINTS_AT)


def classify(text: str, override: Sector | None = None) -> Classification:
    """Return the sectors of `text`; `override`, if given, is the only one.

    A sector's points are the different words and phrases of it in the first 10,000 characters, times its
    weight. The sector with most is primary, those with half as many belong as well; a text without any is
    semantic.
    """
    if override is not None:
        return Classification(override, (override,))
    return _ranked(tuple(_counts(_folded(text[:_READ_CHARS]))))


@lru_cache(_COUNTS_KEPT)
def _ranked(counts: tuple[int, ...]) -> Classification:
    """Return the sectors of a text; `counts` are its words and phrases of each sector, in their order."""
    points = [weight * count for weight, count in zip(_WEIGHTS, counts, strict=True)]
    most = max(points)
    if not most:
        return Classification(Sector.SEMANTIC, (Sector.SEMANTIC,))
    ranked = sorted(range(len(points)), key=points.__getitem__, reverse=True)
    near = tuple(_IN_ORDER[place] for place in ranked if points[place] >= _CLOSE * most)
    return Classification(near[0], near)


def rules(sector: Sector) -> tuple[tuple[str, ...], str]:
    """Return the words that speak for a sector, and its phrases as a regular expression without white space."""
    return tuple(_WORDS[sector].split()), "".join(_PHRASES[sector].split())


def _folded(text: str) -> str:
    """Return `text` in lower case, its digits as 0."""
    # A table with an entry for each character takes a third of the time of a table with some.
    return text.translate(_ASCII_FOLDED) if text.isascii() else text.lower().translate(_DIGITS_AS_ZERO)


def _counts(text: str) -> list[int]:
    """Return how many different words and phrases of each sector, in their order, `text` has."""
    ascii_only = text.isascii()
    telling = _TELLING.intersection(text.translate(_ASCII_TO_WORDS).split() if ascii_only else _WORD.findall(text))
    counts = [0] * len(_IN_ORDER)
    for word in telling:
        for place in _SPEAKS_FOR.get(word, ()):
            counts[place] += 1
    for place in _hinted_at(text, telling) if ascii_only else range(len(_IN_ORDER)):
        counts[place] += len(frozenset(_SEARCHES[place].findall(text)))
    return counts


def _hinted_at(text: str, telling: frozenset[str]) -> set[int]:
    """Return the places of the sectors that may have a phrase in `text`; the others need no search."""
    hinted = {place for word in telling for place in _HINTS_AT.get(word, ())}
    hinted.update([place for piece, place in _PIECES if piece in text])
    return hinted
