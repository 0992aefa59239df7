"""The options that commands share, and the settings they lead to."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.core.scope import Scope, name_problem, tenant_problem
from openmemory.core.sectors import Sector
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.settings import Settings


@dataclass(frozen=True, slots=True)
class Given:
    """The options before the name of the command."""

    config: Path | None


def tenant_of(value: str | None) -> str | None:
    """Return a tenant's name; raises typer.BadParameter for one that no request could give."""
    if value is not None and (problem := tenant_problem(value)):
        raise typer.BadParameter(f"{problem}; choose another name")
    return value


def _name(value: str | None) -> str | None:
    if value is not None and (problem := name_problem(value)):
        raise typer.BadParameter(problem)
    return value


def _object(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        read = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise typer.BadParameter('must be a JSON object, such as {"source": "mail"}')
    return value


def _instant(value: str | None) -> str | None:
    if value is not None:
        try:
            datetime.fromisoformat(value.strip()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise typer.BadParameter("must be ISO 8601, such as 2026-03-01 or 2026-03-01T12:00:00Z") from error
    return value


def _sector(value: str | None) -> str | None:
    if value is not None and value not in set(Sector):
        raise typer.BadParameter(f"{value!r} is none of {', '.join(Sector)}")
    return value


def _sectors(value: list[str] | None) -> list[str] | None:
    return value and [_sector(one) or one for one in value]


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="File of settings (NAME=value lines); the environment comes first."),
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant", metavar="NAME", callback=tenant_of, help="Tenant to work in (OM_TENANT, else OM_DEFAULT_TENANT_ID)."
    ),
]
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="NAME", callback=_name, help="User inside the tenant.")
]
ProjectOption = Annotated[
    str | None, typer.Option("--project", metavar="NAME", callback=_name, help="Project inside the tenant.")
]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="NAME", callback=_name, help="Conversation it is a turn of.")
]
# Checked here, since Typer says of an enumeration's value what Pydantic calls its error.
SectorOption = Annotated[
    str | None,
    typer.Option("--sector", metavar="SECTOR", callback=_sector, help=f"The sector: {', '.join(Sector)}."),
]
SectorsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sector", metavar="SECTOR", callback=_sectors, help=f"Of this sector ({', '.join(Sector)}); may be repeated."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
MetadataOption = Annotated[
    str | None, typer.Option("--metadata", metavar="JSON", callback=_object, help="A JSON object.")
]
OccurredOption = Annotated[
    str | None,
    typer.Option("--occurred-at", metavar="TIME", callback=_instant, help="When it happened, ISO 8601; now if absent."),
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", callback=_instant, help="What happened then or later, ISO 8601."),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", callback=_instant, help="What happened before, ISO 8601.")
]


def read_settings(context: typer.Context, config: Path | None) -> "Settings":
    """Return the settings, their warnings shown on standard error; raises ConfigurationError."""
    from openmemory.cli.printing import warn

    found = load_settings(context, config)
    for warning in found.warnings:
        warn(warning)
    return found


def load_settings(context: typer.Context, config: Path | None, **overrides: str | None) -> "Settings":
    """Return the settings; `overrides` are options that stand in for the environment's values.

    A file named after the command wins over one named before it. Raises ConfigurationError.
    """
    from openmemory.settings import load

    before = context.find_object(Given)
    options = {name: value for name, value in overrides.items() if value is not None}
    return load(config or (before.config if before else None), {**os.environ, **options})


def scope_of(settings: "Settings", tenant: str | None, user: str | None = None, project: str | None = None) -> Scope:
    """Return the scope of the process's owner; raises ConfigurationError where only one tenant is served."""
    access = settings.access
    chosen = tenant or access.tenant or access.default_tenant_id
    if not access.multi_tenant and chosen != access.default_tenant_id:
        raise ConfigurationError(
            f"--tenant {chosen}: with OM_MULTI_TENANT=false only OM_DEFAULT_TENANT_ID"
            f" ({access.default_tenant_id}) is served"
        )
    return Scope(chosen, user, project)


def read_object(text: str | None) -> object:
    """Return the JSON object of an option that was checked, or None."""
    return None if text is None else json.loads(text)


def present(**values: object) -> dict[str, object]:
    """Return those of `values` that were given."""
    return {name: value for name, value in values.items() if value not in (None, [], False)}
