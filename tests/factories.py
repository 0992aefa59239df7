"""Values for tests: a fresh tenant each, and memories to put into it."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from openmemory.core.memory import Embedding, Told
from openmemory.core.scope import Scope

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_tenant() -> str:
    """Return a tenant's name that no other test has."""
    return f"tenant-{secrets.token_hex(8)}"


def a_scope(user: str | None = None, project: str | None = None) -> Scope:
    """Return the scope of a fresh tenant."""
    return Scope(a_tenant(), user, project)


def a_turn(content: str = "Mara planted three pear trees behind the bakery", **parts: object) -> Told:
    """Return something told."""
    return Told(content, **parts)  # type: ignore[arg-type]  # the caller names fields of Told


def an_embedding(*values: float, dimension: int = 256) -> Embedding:
    """Return a vector that begins with `values` and is small elsewhere."""
    vector = np.full(dimension, 0.01, np.float32)
    vector[: len(values)] = values
    return vector


def a_conversation(speakers: Sequence[str] = ("Ada", "Ben"), session: str = "s1") -> list[Told]:
    """Return a short talk, one thing told a turn."""
    lines = [
        "Did you get to the lighthouse in the end?",
        "Yes, last Saturday. The keeper showed us the old brass lamp.",
        "I would love to see it. Is the path still closed?",
        "Only the lower one; we came over the dunes.",
    ]
    return [Told(line, session_id=session, speaker=speakers[place % len(speakers)]) for place, line in enumerate(lines)]
