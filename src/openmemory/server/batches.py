"""Read batches of memories: as a whole, or each memory by itself if some may be refused."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from openmemory import wire
from openmemory.core.memory import Told
from openmemory.errors import FieldError, Malformed
from openmemory.server import encoding
from openmemory.server.direct import named_errors
from openmemory.server.misspelt import misnamed, misnamed_items, refuse_misnamed
from openmemory.server.problems import field_errors


@dataclass(frozen=True, slots=True)
class Batch:
    """The memories of a batch, in order; with `partial`, one that cannot be read is replaced by its error."""

    told: Sequence[Told | Malformed]
    partial: bool

    def all_told(self) -> list[Told]:
        """Return the memories without the errors; there are no errors without `partial`."""
        return [one for one in self.told if isinstance(one, Told)]


def read_batch(raw: bytes) -> Batch:
    """Return the batch in a body; raises Malformed, also for a memory that cannot be read if not `partial`."""
    try:
        batch = wire.AddBatchRequest.model_validate_json(raw)
    except ValidationError as error:
        items = _items_of_partial(raw)
        if items is None:
            raise _of_all(field_errors(named_errors(wire.AddBatchRequest, raw, error))) from error
        refuse_misnamed(raw, wire.AddBatchRequest)
        refused = misnamed_items(raw)
        return Batch([refused.get(place) or _read(item, place) for place, item in enumerate(items)], partial=True)
    for beside in misnamed([batch.model_extra], wire.AddBatchRequest).values():
        raise beside
    refused = misnamed_items(raw)
    if refused and not batch.partial:
        raise _of_all([field for error in refused.values() for field in error.fields])
    return Batch([refused.get(place) or encoding.told(item) for place, item in enumerate(batch.items)], batch.partial)


def _of_all(fields: Sequence[FieldError]) -> Malformed:
    """Return the error that refuses a whole batch."""
    return Malformed("; ".join(f"{one.field}: {one.message}" for one in fields[:5]), tuple(fields[:100]))


def _items_of_partial(raw: bytes) -> list[Any] | None:
    """Return the raw memories of a batch with `partial`, or None without it or if the batch itself is malformed."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("partial") is not True:
        return None
    items = body.get("items")
    return items if isinstance(items, list) and 1 <= len(items) <= wire.BATCH_MOST else None


def _read(item: object, place: int) -> Told | Malformed:
    if not isinstance(item, dict):
        field = FieldError(f"items[{place}]", "Input should be an object")
        return Malformed(f"{field.field}: {field.message}", (field,))
    try:
        return encoding.told(wire.AddRequest.model_validate(item))
    except ValidationError as error:
        fields = field_errors(error.errors(include_url=False, include_input=False), f"items[{place}]")
        return Malformed("; ".join(f"{one.field}: {one.message}" for one in fields[:3]), fields)
