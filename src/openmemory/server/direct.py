"""Routes that skip most of FastAPI's work, for the calls that are made most."""

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Sequence
from inspect import signature
from typing import Any, get_args

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from openmemory.errors import OpenMemoryError
from openmemory.server.calling import admitted, place, services
from openmemory.server.json_size import refuse_intricate
from openmemory.server.misspelt import names_in, refuse_ignored_body, refuse_ignored_parameters, refuse_misnamed
from openmemory.server.problems import answered


class PlacedRoute(APIRoute):
    """A route that takes one of its tenant's places before it reads the body, and parses no body with too many values.

    So no more bodies of a tenant arrive at once than it has places, admitted or not. All tenants' bodies share the room
    that `Limits` gives them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request to this route."""
        handle = self.handler_inside()
        parameters = [field.alias for field in self.dependant.query_params]
        has_body = self.body_field is not None
        in_body = names_in(self.body_model()) if has_body else None
        model = self.model_said_once()

        async def placed(request: Request) -> Response:
            refuse_ignored_parameters(request, parameters, in_body)
            async with place(request):
                body = await _body(request)
                refuse_intricate(body, request.app.state.limits.values)
                if body and not has_body:
                    refuse_ignored_body(body, parameters)
                if model:
                    refuse_misnamed(body, model)
                return await handle(request)

        return placed

    def model_said_once(self) -> type[BaseModel] | None:
        """Return the model of the body, or None where the call or the model itself sees to unknown fields."""
        parameter = signature(self.endpoint).parameters.get("body")
        model = parameter.annotation if parameter else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
        return model if model.model_config.get("extra") is None else None

    def body_model(self) -> object:
        """Return the type of the body, or the type it is described with where the call parses it by itself."""
        field = signature(self.endpoint).parameters["body"].annotation
        read_by_itself = (getattr(one, "json_schema_input_type", None) for one in get_args(field))
        return next((one for one in read_by_itself if one is not None), field)

    def handler_inside(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers once a place is held."""
        return super().get_route_handler()


class DirectRoute(PlacedRoute):
    """A route whose body is validated from its bytes and whose caller is found without FastAPI's dependencies.

    It is declared and documented like any other, with the parameters `body`, `who`, `parts` and, for writes,
    `request` and `key`. For a question FastAPI's own way costs 0.5 ms, a fifth of all that the server does.
    A body whose type is no model arrives as bytes.
    """

    def handler_inside(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers once a place is held."""
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        parameters = signature(endpoint).parameters
        model = parameters["body"].annotation
        is_model = isinstance(model, type) and issubclass(model, BaseModel)
        writes = "request" in parameters

        async def handle(request: Request) -> Response:
            raw = await _body(request)
            body = _validated(model, raw) if is_model else raw
            given: dict[str, Any] = {"body": body, "who": await admitted(request), "parts": await services(request)}
            if writes:
                given |= {"request": request, "key": request.headers.get("idempotency-key")}
            return await endpoint(**given)

        return handle


class ShortWay:
    """Takes requests for direct routes past FastAPI's router, which costs a tenth of a question."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._direct = {
            route.path: (route, route.get_route_handler()) for route in routes if isinstance(route, DirectRoute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = self._direct.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handle = found
        try:
            response = await handle(Request(scope, receive, send))
        except (OpenMemoryError, RequestValidationError) as error:
            response = answered(error, scope["path"])
        await response(scope, receive, send)


async def _body(request: Request) -> bytes:
    """Return the body without a byte order mark, which a JSON parser may ignore (RFC 8259, 8.1)."""
    return (await request.body()).removeprefix(BOM_UTF8)


def _validated(model: type[BaseModel], raw: bytes) -> BaseModel:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = named_errors(model, raw, error)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from error


def named_errors(model: type[BaseModel], raw: bytes, error: ValidationError) -> Sequence[Any]:
    """Return the errors of each field.

    Pydantic's parser takes half a surrogate pair for broken JSON and cannot say where it is. Python's parser accepts
    it, and the model then refuses the field.
    """
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] != "json_invalid":
        return found
    try:
        model.model_validate(json.loads(raw))
    except ValidationError as named:
        return named.errors(include_url=False, include_input=False)
    except (ValueError, RecursionError):
        return found
    return found
