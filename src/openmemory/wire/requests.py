"""What is asked of the server."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from openmemory.core.sectors import Sector
from openmemory.wire.fields import (
    BATCH_MOST,
    QUERY_MAX_CHARS,
    Content,
    Count,
    Instant,
    Metadata,
    Name,
    Number,
    Share,
    Tags,
    Vector,
)

# To look for slips takes time, and a body may have a hundred thousand names.
_LOOKED_AT_MOST, _LONGEST_NAME = 20, 32


def _let_others_in(schema: dict[str, Any]) -> None:
    schema.pop("additionalProperties", None)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class AddRequest(_Request):
    """A memory to keep."""

    content: Content
    id: UUID | None = Field(None, description="Your own id; taken: 409.")
    tags: Tags | None = None
    metadata: Metadata | None = None
    user_id: Name | None = None
    project_id: Name | None = None
    session_id: Name | None = Field(None, description="The conversation it is a turn of.")
    speaker: Name | None = None
    occurred_at: Instant | None = Field(None, description="When it happened; the time of writing if absent.")
    sector: Sector | None = Field(None, description="Instead of the one that the rules find.")
    salience: Share | None = None
    embedding: Vector | None = Field(None, description="Instead of the server's own; of its dimension.")


class AddBatchRequest(_Request):
    """Memories to keep together: all or, with `partial`, those that can be."""

    # Kept, to be looked at: a user_id beside the items is of none of them.
    model_config = ConfigDict(extra="allow", json_schema_extra=_let_others_in)

    items: list[AddRequest] = Field(min_length=1, max_length=BATCH_MOST)
    partial: StrictBool = False


class QueryFilters(_Request):
    """What narrows a question. Any other name is refused: who sends it believes that it narrows."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")

    user_id: Name | None = None
    project_id: Name | None = None
    session_id: Name | None = None
    sector: Sector | None = None
    sectors: list[Sector] | None = Field(
        None, min_length=1, max_length=len(Sector), description="Memories of any of these; `sector` is one more."
    )
    tags: Tags | None = Field(None, description="Memories that have all of these.")
    tags_any: Tags | None = Field(None, description="Memories that have at least one of these.")
    metadata: Metadata | None = Field(None, description="Memories whose metadata contain this.")
    since: Instant | None = None
    until: Instant | None = None
    startTime: Instant | None = Field(None, description="Another name of `since`.")
    endTime: Instant | None = Field(None, description="Another name of `until`.")
    min_score: Number | None = None
    k: Count | None = Field(None, description="How many at most; 8 if absent.")
    top_k: Count | None = Field(None, description="Another name of `k`.")
    limit: Count | None = Field(None, description="Another name of `k`.")
    explain: StrictBool | None = Field(
        None, description="Tell how each score came about, and with which plan PostgreSQL reads the rows of the scope."
    )
    include_shared: StrictBool | None = Field(None, description="With `user_id`: memories of no user too.")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_others(cls, given: Any) -> Any:  # noqa: ANN401 -- whatever was sent
        """Leave no more of the other names than can be refused by name."""
        if not isinstance(given, dict) or given.keys() <= cls.model_fields.keys():
            return given
        refused = cls._refused(name for name in given if name not in cls.model_fields)
        return {name: value for name, value in given.items() if name in cls.model_fields or name in refused}

    @classmethod
    def _refused(cls, others: Iterable[str]) -> set[str]:
        return set(islice(others, _LOOKED_AT_MOST))


# Fields of no call: a header names the tenant.
TENANTS = ("tenant", "tenant_id")
# What a caller believes to narrow a call, wherever it is sent: speakers and tenants are named elsewhere.
NARROWING = frozenset({*QueryFilters.model_fields, "filters", "filter", "speaker", *TENANTS})


def nearest_filter(name: str) -> str | None:
    """Return the filter that a field was meant to be, or the tenant's name, or None for one that is like none."""
    return nearest_name(name, (*QueryFilters.model_fields, "filters", "filter", *TENANTS))


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` was surely meant by one, or None.

    It is one of them in other letters (`userId`, `user-id`, `user`), or one slip away from it and begins like it: a
    `season_id` is no session_id, and `vectors` are no sectors.
    """
    known, meant = {_plain(one): one for one in names}, _plain(name)
    if found := known.get(meant) or known.get(f"{meant}id") or known.get(f"{meant.removesuffix('s')}id"):
        return found
    if not meant or len(name) > _LONGEST_NAME:
        return None
    return next((known[one] for one in known if meant[0] in one[:2] and _is_a_slip(meant, one)), None)


def _is_a_slip(written: str, meant: str) -> bool:
    """Return whether a letter is missing, too many or another, or two have changed places."""
    start = _alike(written, meant)
    written, meant = written[start:], meant[start:]
    end = _alike(written[::-1], meant[::-1])
    written, meant = written[: len(written) - end], meant[: len(meant) - end]
    return max(len(written), len(meant)) <= 1 or (len(written) == 2 and written == meant[::-1])


def _alike(one: str, other: str) -> int:
    """Return with how many of the same letters both begin."""
    differing = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differing, min(len(one), len(other)))


def _plain(name: str) -> str:
    """Return a name in small letters, and without what separates them; `_` and `_k` stay as they are."""
    plain = re.sub("[-_]", "", name).casefold()
    return plain if len(plain) > 1 else name.casefold()


class QueryRequest(QueryFilters):
    """A question, by text or embedding or both. What narrows it may stand here too; a misspelt filter is refused."""

    model_config = ConfigDict(json_schema_extra=_let_others_in)

    query: str | None = Field(None, max_length=QUERY_MAX_CHARS)
    embedding: Vector | None = None
    filters: QueryFilters | None = None
    filter: QueryFilters | None = Field(None, description="Another name of `filters`.")

    @classmethod
    def _refused(cls, others: Iterable[str]) -> set[str]:
        short = (name for name in others if len(name) <= _LONGEST_NAME)
        return {name for name in islice(short, _LOOKED_AT_MOST) if nearest_filter(name)}

    def given(self, *names: str) -> dict[str, Any]:
        """Return what was said under any of `names`, by where it stands: at the top level or among the filters."""
        holders = (("", self), ("filters.", self.filters), ("filter.", self.filter))
        return {
            place + name: value
            for place, holder in holders
            if holder is not None and not holder.model_fields_set.isdisjoint(names)
            for name in names
            if name in holder.model_fields_set and (value := getattr(holder, name)) is not None
        }


# Who changes a memory often sends it back as it was read: these no change reaches.
AS_READ = (
    *("id", "project_id", "session_id", "speaker", "occurred_at", "created_at"),
    *("primary_sector", "sectors", "decay_lambda"),
)
# What a change asks for; without any of these there is nothing to change.
CHANGING = ("content", "tags", "metadata", "sector", "salience")
# These change by themselves, so beside a change they may be as they were read; alone they are meant to be set.
NEVER_SET = {
    "version": "it grows with each change; to change only one version, send it as If-Match",
    "updated_at": "it is the time of the last change",
    "last_seen_at": "it is the time when the memory was last found or reinforced (POST /memory/reinforce)",
}
_AS_READ = "Cannot be changed: refused unless it is as the memory has it."
_NEVER_SET = "Changes by itself: read past beside a change, refused without one."


class PatchRequest(_Request):
    """What to change of a memory; what is absent or null stays."""

    content: Content | None = None
    tags: Tags | None = None
    metadata: Metadata | None = Field(
        None,
        description="Instead of those there are, but for `openmemory_old`, in which an upgrade keeps old values: that"
        " stays until a request brings the key itself, `null` to remove it. At most 16 KiB of JSON, 16 levels deep.",
    )
    sector: Sector | None = Field(None, description="Instead of the one it has.")
    salience: Share | None = None
    embedding: Vector | None = Field(None, description="Of the new content; instead of the server's own.")
    user_id: Name | None = Field(None, description="Refuse unless the memory is this user's.")
    project_id: Name | None = Field(None, description=_AS_READ)
    session_id: Name | None = Field(None, description=_AS_READ)
    speaker: Name | None = Field(None, description=_AS_READ)
    occurred_at: Instant | None = Field(None, description=_AS_READ)
    primary_sector: Sector | None = Field(None, description=f"{_AS_READ} `sector` changes it.")
    sectors: list[Sector] | None = Field(
        None, min_length=1, max_length=len(Sector), description=f"{_AS_READ} `sector` changes them."
    )
    id: UUID | None = Field(None, description=_AS_READ)
    created_at: Instant | None = Field(None, description=_AS_READ)
    decay_lambda: Number | None = Field(None, description=f"{_AS_READ} `sector` changes it.")
    version: int | None = Field(None, description=f"{_NEVER_SET} `If-Match` refuses any other version.")
    updated_at: Instant | None = Field(None, description=_NEVER_SET)
    last_seen_at: Instant | None = Field(None, description=_NEVER_SET)

    @property
    def asks_for_a_change(self) -> bool:
        """Whether there is anything to change."""
        return any(getattr(self, name) is not None for name in CHANGING)


class ReinforceRequest(_Request):
    """A memory to make more salient."""

    id: str = Field(min_length=1, max_length=64)
    boost: Share | None = None
    user_id: Name | None = None
