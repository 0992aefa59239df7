"""What a memory is: as it is told, as it is kept, and as it is found."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from openmemory.core.records import record
from openmemory.core.salience import faded
from openmemory.core.sectors import Sector
from openmemory.core.text import TermVector

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]
Embedding = npt.NDArray[np.float32]

CONTENT_MAX_CHARS = 100_000
OLD_VALUES = "openmemory_old"
"""The key of a memory's metadata under which an upgrade or an import keeps what it had no place for."""
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACE = re.compile("(-?[0-9]{1,18})-([0-9a-fA-F]{32})")  # microseconds from the year 1 to 9999


@record
class Told:
    """A memory as a client tells it: what is None is worked out by the service."""

    content: str
    id: UUID | None = None
    user_id: str | None = None
    project_id: str | None = None
    session_id: str | None = None
    speaker: str | None = None
    occurred_at: datetime | None = None
    sector: Sector | None = None
    tags: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    salience: float | None = None
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a client wants changed of a memory; None leaves a part as it is."""

    content: str | None = None
    tags: tuple[str, ...] | None = None
    metadata: JsonObject | None = None
    salience: float | None = None
    embedding: Embedding | None = None
    """Of the new content; only with one."""
    sector: Sector | None = None
    """Instead of the one it has, or that the rules find in a new content."""
    as_read: Mapping[str, object] = field(default_factory=dict)
    """The values of fields that cannot be changed: if the memory has others, the client meant another memory."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a client asks it, by text or embedding or both."""

    text: str | None
    embedding: Embedding | None = None
    k: int = 8
    filters: "Filters" = field(default_factory=lambda: Filters())
    min_score: float | None = None
    explain: bool = False


class NewMemory(NamedTuple):
    """A memory that is complete and about to be kept.

    A tuple, and no dataclass: a frozen one takes six times as long to make, and batches make thousands a second.
    `sectors` is a bit mask that includes the primary one; `decay_rate` is per day; `embedding` is None only where
    the server embeds nothing and the request brought nothing. The `created_at` of a batch's memories are a microsecond
    apart, in the order told, whichever of them are stored. `has_own_id`: the request brought the id.
    """

    id: UUID
    content: str
    fingerprint: UUID
    primary_sector: str
    sectors: int
    salience: float
    decay_rate: float
    terms: TermVector
    marks: int
    embedding: Embedding | None
    created_at: datetime
    occurred_at: datetime
    user_id: str | None
    project_id: str | None
    session_id: str | None
    speaker: str | None
    tags: tuple[str, ...]
    metadata: JsonObject
    has_own_id: bool


@record
class Memory:
    """A memory as it is kept; `salience` is what it was at `salience_at`."""

    id: UUID
    content: str
    primary_sector: str
    sectors: int
    tags: list[str]
    metadata: JsonObject
    user_id: str | None
    project_id: str | None
    session_id: str | None
    speaker: str | None
    salience: float
    salience_at: datetime
    decay_rate: float
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime
    version: int

    def salience_now(self, now: datetime) -> float:
        """Return the salience that is left at `now`."""
        return faded(self.salience, self.decay_rate, (now - self.salience_at).total_seconds() / _DAY_S)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of arrival, from which a listing goes on; it tells nothing of other tenants."""

    created_at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // _MICROSECOND}-{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that `str` wrote; raises ValueError for any other text."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError("is no cursor of this server; leave it out to begin with the newest")
        try:
            return cls(_EPOCH + int(found[1]) * _MICROSECOND, UUID(hex=found[2]))
        except (ValueError, OverflowError) as error:
            raise ValueError("is no cursor of this server; leave it out to begin with the newest") from error


@dataclass(frozen=True, slots=True)
class Filters:
    """What a question or a listing is narrowed to inside its scope; None and () narrow nothing.

    `sectors` is a bit mask: memories of any of them. `tags`: all of them; `tags_any`: at least one. `metadata` must
    be contained. `since` and `until` bound occurred_at, half open. `include_shared` adds to a user's memories those
    of no user.
    """

    session_id: str | None = None
    sectors: int | None = None
    tags: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    metadata: JsonObject | None = None
    since: datetime | None = None
    until: datetime | None = None
    include_shared: bool = False

    @property
    def narrow(self) -> bool:
        """Whether anything is filtered at all."""
        return self.need_memories or any(
            part is not None for part in (self.session_id, self.sectors, self.since, self.until)
        )

    @property
    def need_memories(self) -> bool:
        """Whether the filter asks for what only the memories table knows."""
        return bool(self.tags or self.tags_any or self.metadata)
