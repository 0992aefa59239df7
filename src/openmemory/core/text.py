"""What a text is made of: its terms, its fingerprint, and the marks the ranking looks at.

Terms, keys and fingerprints are stored, so they must never change for a given text: tests pin literal values.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import NamedTuple
from uuid import UUID

from Stemmer import Stemmer

from openmemory.core.dates import has_time_expression

TERM_BITS = 29
MAX_FREQUENCY = 7

ENDS_ASKING = 1
HAS_TIME = 2

# Longer runs are cut, so that the cache of words stays small whatever is stored.
_WORD = re.compile(r"[^\W_]{1,64}(?:'[a-z]+)?")
# Chinese and Japanese are written without spaces: a run of them is no word.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
_CLOSING = " \t\r\n\f\v\u00a0\u3000\"'`\u2019\u201d\u00bb\u203a)]}*_\u300d\u300f\uff09"
_ASKING = ("?", "\uff1f", "\u061f")
_FINAL = ".\u3002 "
# Kinds of compatibility forms that change a character's meaning, and the noncharacters that mark them.
_MEANING = {"<super>": "\ufdd0", "<sub>": "\ufdd1", "<circle>": "\ufdd2", "<fraction>": "\ufdd3"}
# Only a long run of characters beyond Latin can hold a long run of marks, which takes a closer look.
_FOREIGN_RUN = re.compile(r"[^\x00-\u02ff]{31,}")
_MARKS_IN_A_RUN = 30
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_ASCII_TO_WORDS = {code: chr(code).lower() if chr(code).isalnum() or chr(code) == "'" else " " for code in range(128)}
_WORDS_KEPT, _LONGEST_KEPT = 1 << 16, 80
_NAMES_KEPT = 1 << 14
_NO_KEY, _UNREADABLE = -1, -2

_data = files("openmemory.core")
_STOP = frozenset(_data.joinpath("stopwords.txt").read_text("utf-8").split())
_IRREGULAR = dict(
    line.split() for line in _data.joinpath("irregular.txt").read_text("utf-8").splitlines() if line.strip()
)
_stemmer = Stemmer("english", 0)


class TermVector(NamedTuple):
    """The terms of one memory, as they are stored beside its code; a tuple because a batch makes thousands a second.

    `keys`: ascending, distinct, at most the cap. `frequencies`: 1 to 7, of the same length. `length`: how many terms
    the text has, repeated and capped ones included.
    """

    keys: tuple[int, ...]
    frequencies: tuple[int, ...]
    length: int


def terms(text: str) -> list[str]:
    """Return the terms of `text` in order, repetitions included; stop words are gone, the rest are stems.

    A stem is Snowball's English one, after irregular forms became their base ("ate", "eaten": "eat"). Words
    of other languages pass mostly unchanged; runs of Chinese or Japanese become overlapping pairs of
    characters.
    """
    return [term for word in _words(text) if (term := _term(_bare(word)))]


def is_stop_word(word: str) -> bool:
    """Return whether `word` (lower case) says nothing about what a text is about."""
    return _bare(word) in _STOP


@lru_cache(_WORDS_KEPT)
def term_key(term: str) -> int:
    """Return the 29-bit number that stands for `term` in stored vectors, the same for ever."""
    digest = blake2b(term.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> (32 - TERM_BITS)


def term_vector(text: str, cap: int) -> TermVector:
    """Return the terms of `text` with their frequencies, at most `cap` distinct ones.

    Where there are more, the most frequent stay, and of equally frequent ones those seen first. Raises
    ValueError if `cap` < 1.
    """
    if cap < 1:
        raise ValueError(f"cap is {cap}; at least 1 term must be kept")
    keys = _keys(text)
    once = set(keys)
    if len(once) == len(keys) <= cap:
        return TermVector(tuple(sorted(once)), (1,) * len(keys), len(keys))
    counts = Counter(keys)
    kept = dict(counts.most_common(cap)) if len(counts) > cap else counts
    ordered = tuple(sorted(kept))
    frequencies = tuple([min(kept[key], MAX_FREQUENCY) for key in ordered])
    return TermVector(ordered, frequencies, len(keys))


def spoken(text: str, speaker: str | None) -> str:
    """Return `text` as both parts of the search see it, with the speaker in front."""
    return f"{speaker}: {text}" if speaker else text


def fingerprint(
    text: str,
    *,
    user: str | None = None,
    project: str | None = None,
    session: str | None = None,
    speaker: str | None = None,
    occurred_at: datetime | None = None,
) -> UUID:
    """Return the identity of a memory's content, which is the same if the same memory is said again.

    Case, white space and final full stops do not count, nor how a character looks (wide, bold, a ligature). What is
    raised, lowered, in a circle or a fraction does: 10² is not 102.
    Raises ValueError if `occurred_at` has no time zone.
    """
    said, said_when = _measured(_normalised(text)), _measured(_microseconds(occurred_at))
    encoded = said + _belonging(user, project, session, speaker) + said_when
    return UUID(bytes=blake2b(encoded, digest_size=16, person=b"om-fingerprint1").digest())


def marks(text: str) -> int:
    """Return what the ranking wants to know of `text` beyond its terms: ENDS_ASKING | HAS_TIME."""
    asking = ENDS_ASKING if text.rstrip(_CLOSING).endswith(_ASKING) else 0
    return asking | (HAS_TIME if has_time_expression(text) else 0)


@lru_cache(_NAMES_KEPT)
def speaker_key(name: str) -> int:
    """Return the signed 32-bit number of a speaker, whatever the case of the name; 0 is nobody's."""
    folded = _folded(name).strip()
    return int.from_bytes(blake2b(folded.encode(), digest_size=4).digest(), "big", signed=True) or 1


@lru_cache(_NAMES_KEPT)
def session_key(user: str | None, session: str | None) -> int:
    """Return the signed 64-bit number of a user's session; 0 without a session, and only then."""
    if session is None:
        return 0
    parts = f"{'' if user is None else len(user)}:{user or ''}{session}"
    return int.from_bytes(blake2b(parts.encode(), digest_size=8).digest(), "big", signed=True) or 1


def text_problem(text: str, max_chars: int) -> str | None:
    """Return why `text` cannot be stored as a memory, or None if it can."""
    if not text or text.isspace():
        return "is empty"
    if len(text) > max_chars:
        return f"is {len(text)} characters long; at most {max_chars}"
    if "\0" in text:
        return "has a NUL character, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    return None


def _keys(text: str) -> list[int]:
    """Return the keys of the terms of `text` in order."""
    if text.isascii():
        keys = [key for key in map(_word_keys.__getitem__, text.translate(_ASCII_TO_WORDS).split()) if key != _NO_KEY]
        if _UNREADABLE not in keys:
            return keys
    return [key for key in map(_word_keys.__getitem__, _words(text)) if key != _NO_KEY]


def _words(text: str) -> Iterable[str]:
    if text.isascii():
        return _WORD.findall(text.lower())
    lowered = _composed(text).lower().replace("\u2019", "'")
    words = _WORD.findall(lowered)
    return _with_pairs(words) if _UNSPACED.search(lowered) else words


def _with_pairs(words: Iterable[str]) -> Iterable[str]:
    """Yield `words`, with each run of unspaced script as overlapping pairs of characters, without an ending."""
    for word in words:
        start = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > start:
                yield word[start : run.start()]
            characters = run.group()
            yield from (characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
            start = run.end()
        if start < len(word) and word[start] != "'":
            yield word[start:]


def _bare(word: str) -> str:
    """Return a word without what follows its apostrophe."""
    return word.partition("'")[0]


@lru_cache(_WORDS_KEPT)
def _term(bare: str) -> str:
    """Return the term that a lower-case word without its apostrophe stands for, or "" for a stop word."""
    if not bare or bare in _STOP:
        return ""
    stem: str = _stemmer.stemWord(_IRREGULAR.get(bare, bare))
    return stem


class _WordKeys(dict[str, int]):
    """The keys of the terms that lower-case words, quoted or not, stand for.

    `_NO_KEY` is a stop word's, `_UNREADABLE` that of several words. A lookup in a dict takes a third of the time of a
    cached function's call, and each word of each memory is looked up.
    """

    def __missing__(self, word: str) -> int:
        unquoted = word.strip("'")
        if unquoted and not _WORD.fullmatch(unquoted):
            return _UNREADABLE
        term = _term(_bare(unquoted))
        key = term_key(term) if term else _NO_KEY
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _WORDS_KEPT:
                self.clear()
            self[word] = key
        return key


_word_keys = _WordKeys()


def _folded(text: str) -> str:
    return _composed(_composed(text).casefold())


def _composed(text: str) -> str:
    """Return `text` in NFKC, with only the first 30 combining marks of a run, as in Unicode's Stream-Safe form.

    To order a run takes the square of its length, and nothing else runs in this process meanwhile.
    """
    if _FOREIGN_RUN.search(text):
        text = _long_run_of_marks().sub(r"\1", text)
    return unicodedata.normalize("NFKC", text)


@cache
def _long_run_of_marks() -> re.Pattern[str]:
    """Return what matches more than 30 marks in a row, or characters that are marks once they are decomposed."""
    letters = map(chr, range(0x300, 0x20000))
    combining = "".join(one for one in letters if unicodedata.combining(unicodedata.normalize("NFKD", one)[0]))
    return re.compile(f"([{combining}]{{{_MARKS_IN_A_RUN}}})[{combining}]+")


@lru_cache(_NAMES_KEPT)
def _belonging(*names: str | None) -> bytes:
    return b"".join(map(_measured, names))


def _measured(part: str | None) -> bytes:
    """Return a part of a fingerprint after its length, so that parts stay apart; None differs from an empty part."""
    return b"-" if part is None else b"%d:%b" % (len(raw := part.encode()), raw)


def _normalised(text: str) -> str:
    # For ASCII, composing and folding do no more than `lower`.
    collapsed = " ".join((text.lower() if text.isascii() else _folded(_told_apart(text))).split())
    return collapsed.rstrip(_FINAL) or collapsed


def _told_apart(text: str) -> str:
    """Return `text` with a noncharacter in front of each character whose compatibility form means something else."""
    return _meaningful().sub(lambda found: _MEANING[_form(found[0])] + found[0], text)


@cache
def _meaningful() -> re.Pattern[str]:
    characters = map(chr, range(0x80, 0x10000))  # a few letters follow, which would make the expression slow
    return re.compile(f"[{''.join(one for one in characters if _form(one) in _MEANING)}]")


def _form(character: str) -> str:
    """Return the kind of a character's compatibility form as Unicode names it, or what else it is made of."""
    return unicodedata.decomposition(character).partition(" ")[0]


def _microseconds(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return str((moment - _EPOCH) // _MICROSECOND)
