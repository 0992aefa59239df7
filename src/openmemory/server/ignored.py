"""What a call would ignore although its sender believes that it narrows: refused, for the answer would be wider."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice

from fastapi import Request

from openmemory import wire
from openmemory.errors import Malformed

_LOOKED_AT_MOST = 32  # of names that may be misspelt ones
_TENANTS = frozenset({"tenant", "tenant_id"})
_SHOWN_CHARS = 80


def refuse_ignored_parameters(request: Request, parameters: Sequence[str], *, has_body: bool) -> None:
    """Raise Malformed for a query parameter that was meant to be one of `parameters`, or one that narrows elsewhere."""
    if not request.scope["query_string"]:
        return
    for name in islice(request.query_params, _LOOKED_AT_MOST):
        if name in parameters:
            continue
        if nearest := wire.nearest_name(name, parameters):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; the nearest is {nearest}")
        if meant := _narrowing(name):
            raise Malformed.at(_at("query", name), f"is no parameter of this call; {_instead(meant, has_body)}")


def refuse_ignored_body(raw: bytes, parameters: Sequence[str]) -> None:
    """Raise Malformed for the body of a call that takes none, if it has a field that narrows or is a parameter."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if not isinstance(body, dict):
        return
    for name in _first(body):
        if nearest := name if name in parameters else wire.nearest_name(name, parameters):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; send ?{nearest}=…")
        if meant := _narrowing(name):
            raise Malformed.at(_at("body", name), f"is not read, since this call takes no body; {_instead(meant)}")


def _first(names: Iterable[str]) -> Iterable[str]:
    return islice(names, _LOOKED_AT_MOST)


def _narrowing(name: str) -> str | None:
    return name if name in wire.NARROWING else wire.nearest_name(name, wire.NARROWING)


def _instead(meant: str, has_body: bool = False) -> str:
    if meant in _TENANTS:
        return "the tenant is named by a header (OM_TENANT_HEADER)"
    return "what narrows it stands in its body" if has_body else f"it does not narrow by {meant}"


def _at(place: str, name: str) -> str:
    return f"{place}.{name[:_SHOWN_CHARS]}"
