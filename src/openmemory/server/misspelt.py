"""Refuse names that a call would ignore, mostly misspelt ones.

An ignored filter makes the answer wider than its sender meant. An ignored owner makes the memory everybody's.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import get_args

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import from_json

from openmemory import wire
from openmemory.errors import Malformed

_LOOKED_AT_MOST = 100  # as many as a query string may have; finding the nearest name takes time
_LONGEST = 80
_PARTS_MOST = 3
_NESTED = re.compile(r"[\[\].]+")
_OWNERS = ("user_id", "project_id", "session_id", *wire.TENANTS)
# A client that reinforces a memory may send it as it was read.
_OF_ANSWERS = {"project_id", "session_id"}
# Finds the names of fields at any depth: in a text a backslash stands before each quote.
_FIELD = re.compile(rb'"([\w.\-\[\]]{1,40})"\s*:')
_BY_HEADER = "the tenant is named by a header (OM_TENANT_HEADER)"
_FILTERS = f"there are {', '.join(wire.QueryFilters.model_fields)}"


def refuse_ignored_parameters(request: Request, parameters: Sequence[str], body: frozenset[str] | None) -> None:
    """Raise Malformed for a query parameter that resembles one of `parameters`, or a filter of another call.

    `body`: the names of the fields that the call takes in its body, or None where it takes none.
    """
    if not request.scope["query_string"]:
        return
    for name in request.query_params:
        if name in parameters:
            continue
        if nearest := _meant_by(name, parameters):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; the nearest is {nearest}")
        if meant := _meant_by(name, wire.NARROWING):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; {_instead(meant, body)}")


def refuse_ignored_body(raw: bytes, parameters: Sequence[str]) -> None:
    """Raise Malformed if a call that takes no body gets one with a filter or with one of its `parameters`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if not isinstance(body, dict):
        return
    for name in _looked_at(body, {*parameters, *wire.NARROWING}):
        if nearest := _meant_by(name, parameters):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; send ?{nearest}=…")
        if meant := _meant_by(name, wire.NARROWING):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; {_instead(meant)}")


def refuse_misnamed(raw: bytes, model: type[BaseModel]) -> None:
    """Raise Malformed if a body of `model` names an owner (user, project, session, tenant) by a name nobody reads.

    A body that is no JSON passes: the parser reports it.
    """
    if not _is_suspicious(raw, _names_taken(model)):
        return
    try:
        body = from_json(raw)
    except ValueError:
        return
    for error in misnamed([body], model).values():
        raise error


def misnamed_items(raw: bytes) -> dict[int, Malformed]:
    """Return the errors of a readable batch's memories with a misspelt owner, by their places."""
    if not _is_suspicious(raw, _OF_BATCH):
        return {}
    errors = misnamed(from_json(raw)["items"], wire.AddRequest)
    return {place: error.inside(f"items[{place}]") for place, error in errors.items()}


def misnamed(bodies: Sequence[object], model: type[BaseModel]) -> dict[int, Malformed]:
    """Return the errors of the `bodies` with a misspelt owner, by their places; a field that is null is none."""
    known = model.model_fields.keys() | (_OF_ANSWERS if model is wire.ReinforceRequest else set())
    others = [
        [name for name in body.keys() - known if body[name] is not None] if isinstance(body, Mapping) else []
        for body in bodies
    ]
    distinct = dict.fromkeys(name for names in others for name in names)
    meant = {name: owner for name in _looked_at(distinct, _OWNERS) if (owner := _owner(name))}
    first = ((place, next((name for name in names if name in meant), None)) for place, names in enumerate(others))
    return {place: _misnamed(name, meant[name]) for place, name in first if name is not None}


def no_filter(name: str) -> str:
    """Return what is wrong with a name among the filters of a question that is none."""
    nearest = wire.nearest_filter(name)
    if nearest in wire.TENANTS:
        return f"is no filter; {_BY_HEADER}"
    return f"is no filter; {f'the nearest is {nearest}' if nearest else _FILTERS}"


def names_in(model: object) -> frozenset[str]:
    """Return the names of the fields of a model, and of the models in it."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    inner = (names_in(part) for field in model.model_fields.values() for part in get_args(field.annotation))
    return frozenset(model.model_fields).union(*inner)


@cache
def _names_taken(model: type[BaseModel]) -> frozenset[bytes]:
    """Return the names of a model's fields as they stand in a body."""
    return frozenset(name.encode() for name in model.model_fields)


_OF_BATCH = _names_taken(wire.AddRequest) | _names_taken(wire.AddBatchRequest)


def _is_suspicious(raw: bytes, taken: frozenset[bytes]) -> bool:
    """Return whether a body may misspell an owner: a search of its bytes costs a hundredth of keeping the memory."""
    others = {*_FIELD.findall(raw)} - taken
    return len(others) > _LOOKED_AT_MOST or any(_owner(name.decode()) for name in others)


def _looked_at(names: Iterable[str], known: Collection[str]) -> Iterable[str]:
    """Yield the names that are known, wherever they stand, and the first of the others."""
    others = []
    for name in names:
        if name in known:
            yield name
        else:
            others.append(name)
    yield from islice(others, _LOOKED_AT_MOST)


def _owner(name: str) -> str | None:
    return _owner_meant(name) if len(name) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _owner_meant(name: str) -> str | None:
    return _meant_by(name, _OWNERS)


def _meant_by(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` was meant by a name, by itself or nested (`user_id[]`, `filters.user_id`)."""
    parts = [part for part in _NESTED.split(name, _PARTS_MOST) if part][:_PARTS_MOST]
    nearest = (wire.nearest_name(part, names) for part in parts)
    return next((one for one in nearest if one), None)


def _instead(meant: str, body: frozenset[str] | None = None) -> str:
    if meant in wire.TENANTS:
        return _BY_HEADER
    if body is None:
        return f"it does not narrow by {meant}"
    return f"send {meant} in its body" if meant in body else f"it does not narrow by {meant}, nor does its body"


def _misnamed(name: str, meant: str) -> Malformed:
    if meant in wire.TENANTS:
        return Malformed.at(name[:_LONGEST], f"is no field here; {_BY_HEADER}")
    nearest = "" if name == meant else f"; the nearest is {meant}"
    return Malformed.at(name[:_LONGEST], f"is no field here{nearest}")


def _at(place: str, name: str) -> str:
    return f"{place}.{name[:_LONGEST]}"
