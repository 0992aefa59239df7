"""Made-up conversations: real words with Zipf's frequencies, sessions of 20 turns, two speakers, dates.

What is made depends on nothing but a tenant's name and a place, so a filling that broke off goes on where it stopped,
and two databases hold the same memories of the same tenant.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate

from openmemory.adapters.embedders.static import TABLE
from openmemory.core.memory import Told
from openmemory.core.text import is_stop_word

ASKED_SMALL = "asked-3000"
ASKED_LARGE = "asked-30000"
SMALL, LARGE = 3_000, 30_000
TURNS = 20
PER_USER = 300

_TOPIC_WORDS = 30
_TOPIC_SHARE = 0.3
_BEGIN = datetime(2023, 1, 2, 9, tzinfo=UTC)
_NAMES = "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Nora Oscar Paul Rosa Sam Tina Victor"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant to fill: its name and how many memories it shall have."""

    name: str
    size: int


def tenants(total: int) -> list[Tenant]:
    """Return tenants of `total` memories in all: the two that are asked, a tenth in large ones, the rest small."""
    large = [Tenant(ASKED_LARGE, LARGE)] if total >= 2 * LARGE else []
    large += [Tenant(f"large-{number:02}", LARGE) for number in range(total // 10 // LARGE)]
    left = total - sum(tenant.size for tenant in large)
    small = [Tenant(ASKED_SMALL, min(SMALL, left))]
    small += [
        Tenant(f"small-{number:04}", min(SMALL, left - start)) for number, start in enumerate(range(SMALL, left, SMALL))
    ]
    return small[:1] + large + small[1:]


def memories(tenant: str, start: int, stop: int) -> Iterator[Told]:
    """Yield the memories of `tenant` from place `start` to before `stop`."""
    for session in range(start // TURNS, -(-stop // TURNS)):
        for place, told in enumerate(_session(tenant, session), session * TURNS):
            if start <= place < stop:
                yield told


def questions(tenant: str, size: int, count: int) -> list[str]:
    """Return `count` different questions, each in the words of one memory of `tenant`."""
    chance = random.Random(f"questions of {tenant}")
    asked: list[str] = []
    while len(asked) < count:
        told = _session(tenant, chance.randrange(max(1, size // TURNS)))[chance.randrange(TURNS)]
        words = [word for word in told.content.lower().strip("?!.").split() if not is_stop_word(word)]
        if words:
            about = " ".join(chance.sample(words, min(len(words), chance.randint(2, 5))))
            asked.append(chance.choice((f"What did {told.speaker} say about {about}?", f"When was {about}?", about)))
    return asked


def _session(tenant: str, number: int) -> list[Told]:
    chance = random.Random(f"{tenant}/{number}")
    user = number * TURNS // PER_USER
    speakers = random.Random(f"{tenant}/user {user}").sample(_NAMES.split(), 2)
    topic = _draw(chance, _TOPIC_WORDS)
    begin = _BEGIN + timedelta(hours=number * 13, minutes=chance.randrange(120))
    return [
        Told(
            _text(chance, topic),
            user_id=f"user-{user:04}",
            session_id=f"session-{number:05}",
            speaker=speakers[turn % 2],
            occurred_at=begin + timedelta(seconds=40 * turn),
        )
        for turn in range(TURNS)
    ]


def _text(chance: random.Random, topic: list[str]) -> str:
    length = min(60, max(3, int(chance.lognormvariate(2.8, 0.5))))
    words = [chance.choice(topic) if chance.random() < _TOPIC_SHARE else word for word in _draw(chance, length)]
    text = " ".join(words).capitalize()
    return text + chance.choices((".", "?", "!"), (8, 2, 1))[0]


def _draw(chance: random.Random, count: int) -> list[str]:
    words, weights = _vocabulary()
    return chance.choices(words, cum_weights=weights, k=count)


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Return the whole words of the embedder's tokenizer, the most frequent first, and Zipf's weights, added up."""
    recipe = json.loads((TABLE / "tokenizer.json").read_text(encoding="utf-8"))
    places: dict[str, int] = recipe["model"]["vocab"]
    words = [word for word in sorted(places, key=places.__getitem__) if word.isascii() and word.isalpha()]
    words = [word for word in words if len(word) > 1]
    return words, list(accumulate(1 / (rank + 2.7) for rank in range(len(words))))
