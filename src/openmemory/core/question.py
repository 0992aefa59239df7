"""What a question asks for, read with a little knowledge of the corpus it is put to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from openmemory.core import dates
from openmemory.core.dates import AskedDate
from openmemory.core.text import is_stop_word, speaker_key, term_key, terms

MAX_TERMS = 16

Name = tuple[str, ...]
Keys = frozenset[int]

_WORD = re.compile(r"[^\W_]+(?:['\u2019][a-z]+)?", re.IGNORECASE)
_NAME_PART = re.compile(r"[^\W_]+")
_NAME_GAP = re.compile(r"[\s\-_'\u2019.]{1,2}")
_POSSESSIVE = re.compile(r"['\u2019]s\b", re.IGNORECASE)
_TITLES = frozenset({"dr", "mr", "mrs", "ms", "miss", "prof", "professor", "sir", "the", "uncle", "aunt"})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What reading a question needs to know of the corpus: who speaks in it, and which terms say little.

    `common`: keys of the terms that more than 20 % of the memories have. Make it once for many questions.
    """

    speakers: frozenset[str] = frozenset()
    common: Keys = frozenset()
    named: dict[Name, Keys] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", _names(self.speakers))


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the ranking takes it.

    `terms`: keys of its distinct terms, at most 16. `embed_text`: what to embed. `speaker`: the key of the
    only known speaker it names. `asks_when`: whether it asks for a time. `date`: the date it names.
    """

    terms: tuple[int, ...]
    embed_text: str
    speaker: int | None = None
    asks_when: bool = False
    date: AskedDate | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in a text where speakers are named, a possessive 's included, and whom the name can mean."""

    start: int
    end: int
    speakers: Keys


def understand(text: str, vocabulary: Vocabulary) -> Question:
    """Return what `text` asks for.

    Of more than 16 distinct terms the first 16 count: which are rare, and so worth more, only the corpus
    knows.
    """
    mentions = list(_mentions(text, vocabulary.named))
    nameless = _without(text, mentions)
    keys = dict.fromkeys(term_key(term) for term in terms(text))
    return Question(
        terms=tuple(keys)[:MAX_TERMS],
        embed_text=_telling(nameless, vocabulary.common) or text,
        speaker=_only_speaker(mentions),
        asks_when=dates.asks_when(text),
        date=dates.asked_date(nameless),
    )


def _names(speakers: frozenset[str]) -> dict[Name, Keys]:
    """Return what `speakers` are called: by the full name, else by the first word of it."""
    full, first = dict[Name, set[int]](), dict[Name, set[int]]()
    for speaker in speakers:
        key = speaker_key(speaker)
        words = speaker.split()
        while len(words) > 1 and words[0].rstrip(".").casefold() in _TITLES:
            words = words[1:]
        full.setdefault(_parts(speaker), set()).add(key)
        if words:
            first.setdefault(_parts(words[0]), set()).add(key)
    return {name: frozenset(keys) for name, keys in (first | full).items() if len("".join(name)) > 1}


def _parts(name: str) -> Name:
    return tuple(part.casefold() for part in _NAME_PART.findall(name))


def _mentions(text: str, named: dict[Name, Keys]) -> Iterator[Mention]:
    """Yield where `text` names someone, the longest name at each place."""
    parts = list(_NAME_PART.finditer(text))
    longest = max(map(len, named), default=0)
    at = 0
    while at < len(parts):
        reach = 1
        while reach < min(longest, len(parts) - at) and _NAME_GAP.fullmatch(
            text, parts[at + reach - 1].end(), parts[at + reach].start()
        ):
            reach += 1
        for size in range(reach, 0, -1):
            name = tuple(part[0].casefold() for part in parts[at : at + size])
            if name in named and not _is_mere_word(name, parts[at]):
                end = parts[at + size - 1].end()
                possessive = _POSSESSIVE.match(text, end)
                yield Mention(parts[at].start(), possessive.end() if possessive else end, named[name])
                at += size
                break
        else:
            at += 1


def _is_mere_word(name: Name, found: re.Match[str]) -> bool:
    """Return whether a name that is also a word of the language ("Will", "May") stands here as that word."""
    ambiguous = len(name) == 1 and (is_stop_word(name[0]) or name[0] == "may")
    return ambiguous and (found.start() == 0 or not found[0][0].isupper())


def _without(text: str, mentions: list[Mention]) -> str:
    kept, end = [], 0
    for mention in mentions:
        kept.append(text[end : mention.start])
        end = mention.end
    kept.append(text[end:])
    return " ".join("".join(kept).split())


def _only_speaker(mentions: list[Mention]) -> int | None:
    """Return the one speaker named, or None; a shared name means whoever is named in full beside it."""
    certain = {key for mention in mentions if len(mention.speakers) == 1 for key in mention.speakers}
    for mention in mentions:
        if certain.isdisjoint(mention.speakers):
            certain |= mention.speakers
    return certain.pop() if len(certain) == 1 else None


def _telling(text: str, common: Keys) -> str:
    """Return `text` without the words of `common` terms, or "" if only stop words are left."""
    telling = False

    def kept(found: re.Match[str]) -> str:
        nonlocal telling
        keys = [term_key(term) for term in terms(found[0])]
        if keys and common.issuperset(keys):
            return ""
        telling = telling or bool(keys)
        return found[0]

    shorter = _WORD.sub(kept, text)
    return " ".join(shorter.split()) if telling else ""
