"""The reference of the HTTP calls, from the application's own OpenAPI."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from generate import table

from openmemory.server.api import create_api
from openmemory.server.auth import HeaderAuth
from openmemory.server.calling import Services
from openmemory.server.status_calls import About

Schema: TypeAlias = dict[str, Any]
Calls: TypeAlias = list[tuple[str, str, Schema]]

_REFERENCE = "#/components/schemas/"
_EMBEDDING = ("/memory/add", "/memory/add/batch", "/memory/query")


def http_calls() -> str:
    """Return a section for each call and each shape, in Markdown."""
    described = description()
    calls = calls_of(described)
    contents = table(
        ("Call", "What it does"),
        [(f"[`{method} {path}`](#{_anchor(f'{method} {path}')})", call["description"]) for method, path, call in calls],
    )
    sections = [_call(method, path, call, described) for method, path, call in calls]
    shapes = [_shape(name, described) for name in _shapes(calls, described)]
    return "\n".join([contents, *sections, "## Shapes\n", *shapes])


def description() -> Schema:
    """Return the application's OpenAPI."""
    about = About(version="0", provider="static", model="static-v1", dimension=256, tier="hybrid")
    return create_api(_no_services, HeaderAuth(bound_to_loopback=True), about).openapi()


def calls_of(described: Schema) -> Calls:
    """Return method, path and description of each call, in the order of the code."""
    return [
        (method.upper(), path, call) for path, calls in described["paths"].items() for method, call in calls.items()
    ]


@asynccontextmanager
async def _no_services() -> AsyncIterator[Services]:
    """Stand in for the services, which only a running server opens."""
    raise NotImplementedError
    yield


def _call(method: str, path: str, call: Schema, described: Schema) -> str:
    parts = [f"## {method} {path}", str(call["description"])]
    parameters = [one for one in call.get("parameters", []) if one["name"] != "x-tenant-id"]
    if parameters:
        rows = [(f"`{one['name']}`", one["in"], _kind(one["schema"]), _said(one, one["schema"])) for one in parameters]
        parts.append(table(("Parameter", "In", "Value", "What it is"), rows).strip())
    if body := _body(call):
        parts.append(_fields(_resolved(body, described), "Field of the body"))
    answer = _answer(call)
    parts.append(f"Answers 200 with {_kind(answer) if answer else 'plain text'}.")
    problems = ", ".join(f"[{code}](problems.md#{code})" for code in problems_of(method, path, call))
    parts += [f"Problems of its own: {problems}."] if problems else []
    return "\n\n".join(parts) + "\n"


def problems_of(method: str, path: str, call: Schema) -> Iterator[str]:
    """Yield the codes of what may go wrong in a call beside what may go wrong in all."""
    names = {one["name"].lower() for one in call.get("parameters", [])}
    if path == "/ready":
        yield "database-unavailable"
    if "{id}" in path or path == "/memory/reinforce":
        yield from ("memory-not-found", "another-users-memory")
    if path.startswith("/memory/add") or method == "PATCH":
        yield "memory-exists"
    if path in _EMBEDDING or method == "PATCH":
        yield from ("unprocessable", "embedder-unavailable")
    if "if-match" in names:
        yield "version-changed"
    if "idempotency-key" in names:
        yield from ("idempotency-conflict", "idempotency-mismatch")


def _body(call: Schema) -> Schema | None:
    schema: Schema | None = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return schema


def _answer(call: Schema) -> Schema | None:
    schema: Schema | None = call["responses"]["200"].get("content", {}).get("application/json", {}).get("schema")
    return schema


def _shapes(calls: Calls, described: Schema) -> list[str]:
    """Return the names of the shapes that calls refer to, those inside others too, sorted."""
    known = described["components"]["schemas"]
    waiting = [_resolved(body, described) for _, _, call in calls if (body := _body(call))]
    waiting += [{"$ref": _REFERENCE + "Problem"}, *(answer for _, _, call in calls if (answer := _answer(call)))]
    found: set[str] = set()
    while waiting:
        new = set(_referred(waiting.pop())) - found
        found |= new
        waiting += [known[name] for name in new]
    return sorted(name for name in found if "properties" in known[name])


def _referred(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(name := schema.get("$ref"), str):
            yield name.removeprefix(_REFERENCE)
        for inner in schema.values():
            yield from _referred(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _referred(inner)


def _shape(name: str, described: Schema) -> str:
    shape = described["components"]["schemas"][name]
    return f"### {name}\n\n{shape.get('description', '')}\n\n{_fields(shape, 'Field')}\n"


def _resolved(schema: Schema, described: Schema) -> Schema:
    found: Schema = schema
    if name := schema.get("$ref"):
        found = described["components"]["schemas"][name.removeprefix(_REFERENCE)]
    return found


def _fields(shape: Schema, head: str) -> str:
    required = shape.get("required", [])
    rows = [
        (f"`{name}`", _value(field, required=name in required, says_so=head != "Field"), _said(field, field))
        for name, field in shape["properties"].items()
    ]
    return table((head, "Value", "What it is"), rows).strip()


def _value(field: Schema, *, required: bool, says_so: bool) -> str:
    """Return a field's kind; null counts as absent where the field may be absent, and is only named elsewhere."""
    null = " or null" if required and {"type": "null"} in field.get("anyOf", []) else ""
    return _kind(field) + null + (", required" if required and says_so else "")


def _said(described: Schema, schema: Schema) -> str:
    """Return what a parameter or field says of itself, its default with it."""
    inner = next((one.get("description") for one in schema.get("anyOf", []) if one.get("description")), None)
    words = str(described.get("description") or schema.get("description") or inner or "")
    default = schema.get("default")
    if default in (None, False) or "const" in schema:
        return words
    return f"{words} Default: `{str(default).lower() if isinstance(default, bool) else default}`.".strip()


def _kind(schema: Schema) -> str:
    """Return a schema in words: what it is, and its limits."""
    if name := schema.get("$ref"):
        name = name.removeprefix(_REFERENCE)
        return "a sector" if name == "Sector" else f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_kind(one) for one in options if one.get("type") != "null"))
    if "const" in schema:
        return f"`{str(schema['const']).lower()}`"
    kind = _KINDS.get((schema.get("type"), schema.get("format")), "any JSON")
    if schema.get("type") == "array":
        return f"list of {_plural(_kind(schema.get('items', {})))}{_bounds(schema, 'minItems', 'maxItems', ' of them')}"
    if schema.get("type") == "string":
        return f"{kind}{_bounds(schema, 'minLength', 'maxLength', ' characters')}"
    return f"{kind}{_bounds(schema, 'minimum', 'maximum', '')}"


_KINDS: dict[tuple[object, object], str] = {
    ("string", None): "text",
    ("string", "uuid"): "UUID",
    ("string", "date-time"): "time",
    ("integer", None): "whole number",
    ("number", None): "number",
    ("boolean", None): "`true` or `false`",
    ("object", None): "object",
}


def _bounds(schema: Schema, low: str, high: str, unit: str) -> str:
    least, most = schema.get(low), schema.get(high)
    if most is None:
        return f", {_number(least)} or more{unit}" if least else ""
    return f", {_number(least)} to {_number(most)}{unit}" if least is not None else f", at most {_number(most)}{unit}"


def _plural(kind: str) -> str:
    return {"number": "numbers", "a sector": "sectors", "text": "texts", "UUID": "UUIDs"}.get(kind, kind)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else str(value)


def _anchor(heading: str) -> str:
    """Return the fragment that Markdown gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
