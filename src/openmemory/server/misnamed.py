"""Fields that say whose a memory is by a name that nobody reads: refused, or the memory would be everybody's."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import BaseModel
from pydantic_core import from_json

from openmemory import wire
from openmemory.errors import Malformed
from openmemory.server.ignored import looked_at, meant_by

_OWNERS = ("user_id", "project_id", "session_id", *wire.TENANTS)
# Who reinforces a memory may send it as it was read.
_OF_ANSWERS = {"project_id", "session_id"}
# In a text a quote has a backslash before it, so that what is found are names of fields, though at any depth.
_FIELD = re.compile(rb'"([\w.\-\[\]]{1,40})"\s*:')
_UNCLEAR = 100  # names of which one may be another: likeness takes time
_LONGEST = 80


def names_taken(model: type[BaseModel]) -> frozenset[bytes]:
    """Return the names of a model's fields as they stand in a body."""
    return frozenset(name.encode() for name in model.model_fields)


_OF_BATCH = names_taken(wire.AddRequest) | names_taken(wire.AddBatchRequest)


def refuse_misnamed(raw: bytes, model: type[BaseModel], taken: frozenset[bytes]) -> None:
    """Raise Malformed for a body of `model` with such a field; `taken` are the model's `names_taken`.

    A body that is no JSON passes: whoever reads it says where it is wrong.
    """
    if not _is_suspicious(raw, taken):
        return
    try:
        body = from_json(raw)
    except ValueError:
        return
    for error in misnamed([body], model).values():
        raise error


def misnamed_items(raw: bytes) -> dict[int, Malformed]:
    """Return the errors of the memories with such a field in a batch that was read before, by their places."""
    if not _is_suspicious(raw, _OF_BATCH):
        return {}
    errors = misnamed(from_json(raw)["items"], wire.AddRequest)
    return {place: error.inside(f"items[{place}]") for place, error in errors.items()}


def misnamed(bodies: Sequence[object], model: type[BaseModel]) -> dict[int, Malformed]:
    """Return the errors of those of `bodies` with such a field, by their places; one that is null says nothing."""
    known = model.model_fields.keys() | (_OF_ANSWERS if model is wire.ReinforceRequest else set())
    others = [
        [name for name in body.keys() - known if body[name] is not None] if isinstance(body, Mapping) else []
        for body in bodies
    ]
    distinct = dict.fromkeys(name for names in others for name in names)
    meant = {name: owner for name in looked_at(distinct, _OWNERS) if (owner := _owner(name))}
    found = ((place, next((name for name in names if name in meant), None)) for place, names in enumerate(others))
    return {place: Malformed.at(name[:_LONGEST], _said(name, meant[name])) for place, name in found if name is not None}


def _is_suspicious(raw: bytes, taken: frozenset[bytes]) -> bool:
    """Return whether a body may have such a field: this costs a hundredth of keeping it, to look each field up more."""
    others = {*_FIELD.findall(raw)} - taken
    return len(others) > _UNCLEAR or any(_owner(name.decode()) for name in others)


@lru_cache(maxsize=4096)
def _meant(name: str) -> str | None:
    return meant_by(name, _OWNERS)


def _owner(name: str) -> str | None:
    return _meant(name) if len(name) <= _LONGEST else None


def _said(name: str, meant: str) -> str:
    if meant in wire.TENANTS:
        return "is no field here; the tenant is named by a header (OM_TENANT_HEADER)"
    return "is no field here" if name == meant else f"is no field here; the nearest is {meant}"
