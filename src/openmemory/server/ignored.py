"""What a call would ignore although its sender believes that it narrows: refused, for the answer would be wider."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import get_args

from fastapi import Request
from pydantic import BaseModel

from openmemory import wire
from openmemory.errors import Malformed

_LOOKED_AT_MOST = 100  # of names that may be misspelt ones: as many as a query string may have
_NESTED = re.compile(r"[\[\].]+")
_PARTS_MOST = 3
_SHOWN_CHARS = 80


def refuse_ignored_parameters(request: Request, parameters: Sequence[str], body: frozenset[str] | None) -> None:
    """Raise Malformed for a query parameter that was meant to be one of `parameters`, or one that narrows elsewhere.

    `body`: the names of the fields that the call takes in its body, or None where it takes none.
    """
    if not request.scope["query_string"]:
        return
    for name in request.query_params:
        if name in parameters:
            continue
        if nearest := meant_by(name, parameters):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; the nearest is {nearest}")
        if meant := meant_by(name, wire.NARROWING):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; {_instead(meant, body)}")


def refuse_ignored_body(raw: bytes, parameters: Sequence[str]) -> None:
    """Raise Malformed for the body of a call that takes none, if it has a field that narrows or is a parameter."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if not isinstance(body, dict):
        return
    for name in looked_at(body, {*parameters, *wire.NARROWING}):
        if nearest := meant_by(name, parameters):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; send ?{nearest}=…")
        if meant := meant_by(name, wire.NARROWING):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; {_instead(meant)}")


def names_in(model: object) -> frozenset[str]:
    """Return the names of the fields of a model, and of the models in it."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    inner = (names_in(part) for field in model.model_fields.values() for part in get_args(field.annotation))
    return frozenset(model.model_fields).union(*inner)


def looked_at(names: Iterable[str], known: Collection[str]) -> Iterable[str]:
    """Yield those that are known, wherever they stand, and the first of all others: likeness takes time."""
    others = []
    for name in names:
        if name in known:
            yield name
        else:
            others.append(name)
    yield from islice(others, _LOOKED_AT_MOST)


def meant_by(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` a name was meant to be, by itself or nested (`user_id[]`, `filters.user_id`)."""
    parts = [part for part in _NESTED.split(name, _PARTS_MOST) if part][:_PARTS_MOST]
    nearest = (wire.nearest_name(part, names) for part in parts)
    return next((one for one in nearest if one), None)


def _instead(meant: str, body: frozenset[str] | None = None) -> str:
    if meant in wire.TENANTS:
        return "the tenant is named by a header (OM_TENANT_HEADER)"
    if body is None:
        return f"it does not narrow by {meant}"
    return f"send {meant} in its body" if meant in body else f"it does not narrow by {meant}, nor does its body"


def _at(place: str, name: str) -> str:
    return f"{place}.{name[:_SHOWN_CHARS]}"
