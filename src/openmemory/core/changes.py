"""What becomes of a memory that a client changes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from openmemory.core.memory import OLD_VALUES, Change, JsonObject, JsonValue, Memory, NewMemory, Told
from openmemory.core.scope import Scope
from openmemory.core.sectors import RATE_PER_DAY, Sector, classify


@dataclass(frozen=True, slots=True)
class Difference:
    """What makes one object of another: the names that go, and the values that are new or others."""

    gone: list[str]
    other: JsonObject


def retold(memory: Memory, change: Change, content: str) -> Told:
    """Return a memory told again with another content; a sector that is not the one of the rules stays."""
    chosen = change.sector or _chosen(memory)
    return Told(
        content,
        sector=chosen,
        embedding=change.embedding,
        id=memory.id,
        user_id=memory.user_id,
        project_id=memory.project_id,
        session_id=memory.session_id,
        speaker=memory.speaker,
        # A memory told without an instant happened when it was told; told so again, it is the same memory.
        occurred_at=None if memory.occurred_at == memory.created_at else memory.occurred_at,
    )


def _chosen(memory: Memory) -> Sector | None:
    """Return the sector of a memory if it is not the one that the rules find."""
    return None if classify(memory.content).primary == memory.primary_sector else Sector(memory.primary_sector)


def sector_pair(memory: Memory) -> tuple[str, int]:
    """Return the primary sector and the mask of all."""
    return memory.primary_sector, memory.sectors


def _with_sector(memory: Memory, sector: Sector) -> Memory:
    return replace(memory, primary_sector=sector.value, sectors=sector.bit, decay_rate=RATE_PER_DAY[sector])


def reclassified(encoded: NewMemory, memory: Memory, change: Change) -> NewMemory:
    """Return a new content in the sector that `memory` has now: a client may choose one while it is embedded."""
    classified = classify(encoded.content, change.sector or _chosen(memory))
    return encoded._replace(
        primary_sector=classified.primary.value,
        sectors=classified.mask,
        decay_rate=RATE_PER_DAY[classified.primary],
    )


def changes_nothing(memory: Memory, change: Change, now: datetime) -> bool:
    """Return whether `change`, its content aside, asks for what is there already."""
    return (
        (change.tags is None or list(change.tags) == memory.tags)
        and _as_text(_metadata(memory, change)) == _as_text(memory.metadata)
        and change.salience in (None, memory.salience_now(now))
        and (change.sector is None or sector_pair(memory) == (change.sector.value, change.sector.bit))
    )


def _metadata(memory: Memory, change: Change) -> JsonObject:
    """Return the metadata after a change; the old values that an upgrade kept go only if a client sets them to null.

    A client that replaces metadata has often never read it, and the old tables may be dropped by then.
    """
    if change.metadata is None:
        return memory.metadata
    kept = {OLD_VALUES: memory.metadata[OLD_VALUES]} if OLD_VALUES in memory.metadata else {}
    left = {**kept, **change.metadata}
    return {name: value for name, value in left.items() if name != OLD_VALUES or value is not None}


def difference(before: JsonObject, after: JsonObject) -> Difference:
    """Return what makes `after` of `before`; a value that stays is not in it.

    PostgreSQL keeps more digits of a number than a float has, so what was read must not be written back.
    """
    return Difference(
        [name for name in before if name not in after],
        {
            name: value
            for name, value in after.items()
            if name not in before or _as_text(value) != _as_text(before[name])
        },
    )


def _as_text(value: JsonValue) -> str:
    """Return JSON that only the same value has: 1 and true are equal to Python."""
    return json.dumps(value, sort_keys=True)


def changed(memory: Memory, change: Change, encoded: NewMemory | None, salience_now: float) -> Memory:
    """Return the memory as `change` leaves it; `encoded` is its new content, if that is to change."""
    result = replace(
        memory,
        tags=memory.tags if change.tags is None else list(change.tags),
        metadata=_metadata(memory, change),
        salience=salience_now if change.salience is None else change.salience,
    )
    if encoded is None:
        return result if change.sector is None else _with_sector(result, change.sector)
    return replace(
        result,
        content=encoded.content,
        primary_sector=encoded.primary_sector,
        sectors=encoded.sectors,
        decay_rate=encoded.decay_rate,
    )


def within(scope: Scope, told: Sequence[Told]) -> Sequence[Told]:
    """Return `told` as said inside `scope`, which may be narrowed to a user and a project."""
    if scope.user is None and scope.project is None:
        # The names were checked where they came in; nothing narrows them further.
        return told
    return [_within(scope, one) for one in told]


def _within(scope: Scope, told: Told) -> Told:
    inside = scope.narrowed(told.user_id, told.project_id)
    return replace(told, user_id=inside.user, project_id=inside.project)
