"""The description of the HTTP interface, as it is served under /openapi.json."""

from typing import Any

from fastapi import FastAPI

from openmemory.server.calling import PUBLIC_PATHS
from openmemory.wire import Problem

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": "Problem details (RFC 9457)."} for status in ("4XX", "503")
}


class DescribedApi(FastAPI):
    """FastAPI whose description adds what it cannot know: the media type of problems, and the credentials."""

    tenant_header: str = "x-tenant-id"

    def openapi(self) -> dict[str, Any]:
        """Return the description, made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            schemes = described["components"].setdefault("securitySchemes", {})
            schemes["key"] = {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "OM_API_KEY"}
            schemes["bearer"] = {"type": "http", "scheme": "bearer", "description": "OM_API_KEY"}
            for path, calls in described["paths"].items():
                for call in calls.values():
                    _name_problems(call)
                    if path not in PUBLIC_PATHS:
                        _ask_who(call, self.tenant_header)
        return self.openapi_schema or {}


def _name_problems(call: dict[str, Any]) -> None:
    for status, response in call["responses"].items():
        if str(status) in PROBLEMS:
            response["content"] = {"application/problem+json": next(iter(response["content"].values()))}


def _ask_who(call: dict[str, Any], tenant_header: str) -> None:
    # No key is needed from this machine, or behind a trusted gateway.
    call["security"] = [{}, {"key": []}, {"bearer": []}]
    call.setdefault("parameters", []).append(
        {
            "name": tenant_header,
            "in": "header",
            "required": False,
            "description": "The tenant; OM_DEFAULT_TENANT_ID if absent.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        }
    )
