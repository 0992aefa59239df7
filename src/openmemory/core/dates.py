"""Time as people write it: expressions in a memory, and the date that a question names."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sept", "sep"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_FULL_MONTH = "|".join(name for name in _MONTHS if len(name) > 4 or name in ("may", "june", "july"))
_DAY = r"([0-3]?\d)(?:st|nd|rd|th)?"
_YEAR = r"((?:19|20)\d\d)"

# "march" and "may" are verbs too, so a month is written with a capital; a question all in capitals will do.
_CAPITAL_MONTH = rf"(?=[A-Z])((?i:{_MONTH}))\b\.?"
_CAPITAL_FULL_MONTH = rf"(?=[A-Z])((?i:{_FULL_MONTH}))\b"
_DAY_MONTH = re.compile(rf"\b{_DAY} (?:of )?{_CAPITAL_MONTH}(?:,? ?{_YEAR}\b)?")
_MONTH_DAY = re.compile(rf"\b{_CAPITAL_MONTH} (?:the )?{_DAY}\b(?:,? ?{_YEAR}\b)?")
_MONTH_YEAR = re.compile(rf"\b{_CAPITAL_MONTH},? (?:of )?{_YEAR}\b")
# Short names alone are people's ("Jan"), and a question may begin with "May I".
_MONTH_ALONE = re.compile(rf"\b(?!^(?i:may|march)\b){_CAPITAL_FULL_MONTH}")
_ISO_DATE = re.compile(rf"\b{_YEAR}-([01]\d)-([0-3]\d)\b")

_ASKS_WHEN = re.compile(r"\s*(?:when|how long|(?:what|which) (?:date|day|month|year))\b", re.IGNORECASE)

_TIME = re.compile(
    r"""\b(?:
        (?:mon|tues|wednes|thurs|fri|satur|sun)days?
      | january | february | march | april | june | july | august | september | october | november | december
      | (?:19|20)\d\d | \d{1,2}(?:st|nd|rd|th)
      | yesterday | today | tonight | tomorrow | last | next | ago | recently | lately | since
      | (?:this|past)\ (?:week|weekend|month|year|morning|afternoon|evening|spring|summer|fall|autumn|winter)
      | weekend | (?:a\ few|two|three|four|five|six|seven|eight|nine|ten|\d+)\ (?:days|weeks|months|years)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_MAY = re.compile(r"\bMay\b")
# Each match of `_TIME` is one of these words, or contains a digit or a unit. Most texts have none of them and need no
# search, which takes longer than all else that is done with a text.
_WHEN_WORDS = """
    mondays tuesdays wednesdays thursdays fridays saturdays sundays monday tuesday wednesday thursday friday saturday
    sunday january february march april june july august september october november december yesterday today tonight
    tomorrow last next ago recently lately since weekend"""
_UNIT_WORDS = "days weeks months years week month year morning afternoon evening spring summer fall autumn winter"
_SAYS_WHEN, _UNITS = frozenset(_WHEN_WORDS.split()), frozenset(_UNIT_WORDS.split())
_TO_WORDS = {code: chr(code).lower() if chr(code).isalnum() or chr(code) == "_" else " " for code in range(128)}
_DIGIT = re.compile("[0-9]")
# The numbers of `_TIME` that need no unit.
_NUMBER = re.compile(r"(?:19|20)[0-9]{2}|[0-9]{1,2}(?:st|nd|rd|th)")

_DAY_S = 86_400
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

Flags = npt.NDArray[np.bool_]
Seconds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AskedDate:
    """The month a question names, with the day and the year where it names them."""

    month: int
    day: int | None = None
    year: int | None = None


def has_time_expression(text: str) -> bool:
    """Return whether `text` says when: a weekday, month, year, ordinal, or a word as "yesterday" or "ago"."""
    if text.isascii():
        words = text.translate(_TO_WORDS).split()
        if not _SAYS_WHEN.isdisjoint(words):
            return True
        if _UNITS.isdisjoint(words):
            numbers = [word for word in words if word < ":"] if _DIGIT.search(text) else []  # which begin with a digit
            return any(map(_NUMBER.fullmatch, numbers)) or ("may" in words and _MAY.search(text) is not None)
    return _TIME.search(text) is not None or _MAY.search(text) is not None


def asks_when(question: str) -> bool:
    """Return whether `question` starts by asking for a time."""
    return _ASKS_WHEN.match(question) is not None


def asked_date(question: str) -> AskedDate | None:
    """Return the first date in `question` that has a month, the most precise reading of it, or None.

    A month is recognised by its capital: "may" and "march" in lower case are verbs.
    """
    if found := _ISO_DATE.search(question):
        return _valid(int(found[2]), int(found[3]), found[1])
    if found := _DAY_MONTH.search(question):
        return _valid(_MONTHS[found[2].lower()], int(found[1]), found[3])
    if found := _MONTH_DAY.search(question):
        return _valid(_MONTHS[found[1].lower()], int(found[2]), found[3])
    if found := _MONTH_YEAR.search(question):
        return _valid(_MONTHS[found[1].lower()], None, found[2])
    if found := _MONTH_ALONE.search(question):
        return AskedDate(_MONTHS[found[1].lower()])
    return None


def in_month(moments_s: Seconds, asked: AskedDate) -> Flags:
    """Return which moments fall in the month asked about, of any year if none is named."""
    months = _months(moments_s, asked)
    return _inside(moments_s, _start_s(months), _start_s(months + 1))


def near_day(moments_s: Seconds, asked: AskedDate) -> Flags:
    """Return which moments are of the day before the day asked about, of that day, or of the 7 days after it.

    Raises ValueError if `asked` has no day.
    """
    if asked.day is None:
        raise ValueError(f"{asked} has no day")
    months = _months(moments_s, asked)
    days_s = _start_s(months) + (asked.day - 1) * _DAY_S
    days_s = days_s[days_s < _start_s(months + 1)]
    return _inside(moments_s, days_s - _DAY_S, days_s + 8 * _DAY_S)


def in_week_after_month(moments_s: Seconds, asked: AskedDate) -> Flags:
    """Return which moments fall in the first 7 days after the month asked about."""
    ends_s = _start_s(_months(moments_s, asked) + 1)
    return _inside(moments_s, ends_s, ends_s + 7 * _DAY_S)


def _valid(month: int, day: int | None, year: str | None) -> AskedDate | None:
    if not 1 <= month <= 12:
        return None
    if day is not None and not 1 <= day <= _LONGEST[month - 1]:
        day = None
    return AskedDate(month, day, int(year) if year else None)


def _months(moments_s: Seconds, asked: AskedDate) -> Seconds:
    """Return the months asked about as months since 1970: one, or one a year that the moments can be near."""
    if asked.year is not None:
        years = np.array([asked.year], np.int64)
    elif moments_s.size == 0:
        years = np.zeros(0, np.int64)
    else:
        first, last = (_year(moment) for moment in (moments_s.min(), moments_s.max()))
        years = np.arange(first - 1, last + 2, dtype=np.int64)
    return (years - 1970) * 12 + asked.month - 1


def _year(moment_s: np.int64) -> int:
    return int(moment_s.astype("M8[s]").astype("M8[Y]").astype(np.int64)) + 1970


def _start_s(months: Seconds) -> Seconds:
    return months.astype("M8[M]").astype("M8[s]").astype(np.int64)


def _inside(moments_s: Seconds, starts_s: Seconds, ends_s: Seconds) -> Flags:
    """Return which moments lie in one of the half-open spans, which ascend and do not overlap."""
    if starts_s.size == 0:
        return np.zeros(moments_s.shape, np.bool_)
    span = np.searchsorted(starts_s, moments_s, "right") - 1
    return (span >= 0) & (moments_s < ends_s[span])
