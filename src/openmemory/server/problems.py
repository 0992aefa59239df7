"""Errors as HTTP answers: problem details (RFC 9457), with upstream's `err` and `error` beside them."""

import asyncio
import traceback
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmemory import errors
from openmemory.server.misspelt import no_filter
from openmemory.wire import FieldProblem, Problem

log = structlog.get_logger()

STATUS: dict[type[errors.OpenMemoryError], HTTPStatus] = {
    errors.Malformed: HTTPStatus.BAD_REQUEST,
    errors.CredentialsMissing: HTTPStatus.UNAUTHORIZED,
    errors.CredentialsInvalid: HTTPStatus.FORBIDDEN,
    errors.TenantForbidden: HTTPStatus.FORBIDDEN,
    errors.AnotherUsersMemory: HTTPStatus.FORBIDDEN,
    errors.MemoryNotFound: HTTPStatus.NOT_FOUND,
    errors.MemoryExists: HTTPStatus.CONFLICT,
    errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    errors.VersionChanged: HTTPStatus.PRECONDITION_FAILED,
    errors.RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.MediaTypeUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Unprocessable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IdempotencyMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Stopping: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EmbedderUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseConflict: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_UPSTREAM = {
    "memory-not-found": "nf",
    "another-users-memory": "forbidden",
    "credentials-missing": "authentication_required",
    "credentials-invalid": "invalid_api_key",
    "malformed": "malformed",
}
_VALUE_MAX_CHARS = 80
_RETRY_AFTER_S = 1
_FRAMES = 8


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error of `app`, whose calls are `routes`, as a problem."""
    app.state.routes = routes
    app.add_exception_handler(errors.OpenMemoryError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


class Caught:
    """Answers unexpected errors with 500, and logs where they arose."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:  # the client is gone, but the log and the metrics take the answer
            await answer(errors.Malformed.at("body", "ended before it was whole"), scope["path"])(scope, receive, send)
        except asyncio.CancelledError:  # by Uvicorn, as it stops
            if begun or scope["type"] != "http":
                raise
            stopping = errors.Stopping("the server stops before this is answered; it may have been done, or not")
            await answer(stopping, scope["path"])(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            route = getattr(scope.get("route"), "path", "none")
            log.error("request.failed", method=scope["method"], route=route, failure=_failure(error))
            if not begun:
                await _unexpected(scope["path"])(scope, receive, send)


def answer(error: errors.OpenMemoryError, instance: str) -> Response:
    """Return the answer to an expected error, and log a failure of the embedding provider."""
    if isinstance(error, errors.EmbedderUnavailable):
        log.warning("embedder.unavailable", kind=error.kind, host=error.host, status=error.status)
    status = STATUS[type(error)]
    headers = {}
    if isinstance(error, errors.RateLimited | errors.EmbedderUnavailable):
        headers["retry-after"] = str(error.retry_after_s)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(_RETRY_AFTER_S)
    elif status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    elif status == HTTPStatus.REQUEST_TIMEOUT:
        headers["connection"] = "close"  # nobody knows where the next request would begin
    return _problem(
        status,
        error.code,
        error.title,
        error.detail,
        instance,
        [FieldProblem(field=one.field, message=one.message) for one in error.fields],
        headers,
    )


def answered(error: errors.OpenMemoryError | RequestValidationError, instance: str) -> Response:
    """Return the answer to an error that a call raised, or to a request that it refused."""
    return answer(error, instance) if isinstance(error, errors.OpenMemoryError) else invalid(error.errors(), instance)


def invalid(found: Sequence[Any], instance: str) -> Response:
    """Return the answer to a request that Pydantic refused with the errors `found`."""
    fields = field_errors(found)
    detail = "; ".join(f"{one.field}: {one.message}" for one in fields[:5])
    more = f" (and {len(fields) - 5} more)" if len(fields) > 5 else ""
    return answer(errors.Malformed(detail + more, fields), instance)


def field_errors(found: Sequence[Any], prefix: str = "") -> tuple[errors.FieldError, ...]:
    """Return the first 100 errors that Pydantic found, by field; `prefix` stands before each field."""
    return tuple(
        errors.FieldError(".".join(filter(None, (prefix, _field(error)))), _message(error)) for error in found[:100]
    )


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.OpenMemoryError)  # noqa: S101 -- registered for this class
    return answer(error, request.scope["path"])


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return invalid(error.errors(), request.scope["path"])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if isinstance(error.__cause__, errors.OpenMemoryError):  # the body was refused while FastAPI read it
        return answer(error.__cause__, request.scope["path"])
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:
        return answer(errors.Malformed.at("body", "cannot be read as JSON in UTF-8"), request.scope["path"])
    code = status.phrase.lower().replace(" ", "-")
    detail = {
        HTTPStatus.NOT_FOUND: "there is no such path; see /openapi.json",
        HTTPStatus.METHOD_NOT_ALLOWED: "the path has no such method; see /openapi.json",
    }.get(status, str(error.detail))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = _allowed(request)
    return _problem(status, code, status.phrase, detail, request.scope["path"], headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of a path; Starlette tells those of the first of its routes alone."""
    fitting = (route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for route in fitting for method in route.methods} or {"GET"}))


def _unexpected(instance: str) -> Response:
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.OpenMemoryError.code,
        errors.OpenMemoryError.title,
        "the server's log says more",
        instance,
    )


def _failure(error: BaseException) -> str:
    """Return the kinds of an error and of its causes, and where they arose; never messages, which may quote content."""
    lines, link = [], error
    while True:
        lines += [*traceback.format_tb(link.__traceback__, limit=-_FRAMES), type(link).__qualname__]
        cause = link.__cause__ or link.__context__
        if cause is None:
            return "\n".join(line.rstrip() for line in lines)
        lines, link = [*lines, "raised from"], cause


def _problem(
    status: HTTPStatus,
    code: str,
    title: str,
    detail: str,
    instance: str,
    fields: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    name = _UPSTREAM.get(code, code)
    if code == "malformed" and fields:
        name = fields[0].field
    problem = Problem(
        type=f"/problems/{code}",
        title=title,
        status=status,
        detail=detail.encode(errors="replace").decode(),
        instance=_reference(instance),
        err=name,
        error=name,
        errors=fields or None,
    )
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status, headers, media_type="application/problem+json")


def _reference(path: str) -> str:
    """Return a path as a URI reference for a problem's `instance`, cut to eight parts of 80 characters."""
    return "/".join(
        quote(part[:_VALUE_MAX_CHARS], errors="replace", safe="!$&'()*+,;=:@") for part in path.split("/")[:8]
    )


def _field(error: Any) -> str:  # noqa: ANN401 -- Pydantic's ErrorDetails, whose ctx is open
    """Return the field of an error as people write it: items[3].content."""
    parts = [] if error["type"] == "json_invalid" else list(error["loc"])
    if parts and parts[0] in {"body", "query", "path", "header"}:
        parts = parts[1:]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    return name[:_VALUE_MAX_CHARS].encode(errors="replace").decode() or "body"


def _message(error: Any) -> str:  # noqa: ANN401 -- Pydantic's ErrorDetails, whose ctx is open
    if error["type"] == "json_invalid":
        # The parser's message says where, and quotes nothing.
        return f"is not valid JSON: {error.get('ctx', {}).get('error', 'it cannot be read')}"
    if error["type"] == "extra_forbidden":
        return no_filter(str(error["loc"][-1]))
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:300].encode(errors="replace").decode()
