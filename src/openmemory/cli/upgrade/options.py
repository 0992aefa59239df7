"""The options of `openmemory migrate`, and what their values may be."""

from pathlib import Path
from typing import Annotated

import typer

from openmemory.cli.options import tenant_of
from openmemory.cli.upgrade.models import model_of
from openmemory.postgres.limits import DIMENSION_MAX


def tenant_from_of(value: str | None) -> str | None:
    """Return the one column that tenants can come from; raises typer.BadParameter for another."""
    if value not in (None, "user_id"):
        raise typer.BadParameter("can only be user_id: each old user becomes a tenant")
    return value


def step_of(value: str | None) -> str | None:
    """Return a step's name by its name or number; raises typer.BadParameter for another."""
    from openmemory.postgres.upgrade.plan import STEPS

    if value is None or value in STEPS:
        return value
    if value.isascii() and value.isdecimal() and 0 < int(value) <= len(STEPS):
        return STEPS[int(value) - 1]
    raise typer.BadParameter(f"must be 1 to {len(STEPS)}, or one of {', '.join(STEPS)}")


_OLD = "An old database"
_BACK = "After an upgrade"

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop there.")]
BackupOption = Annotated[
    Path | None,
    typer.Option("--backup", metavar="FILE", dir_okay=False, rich_help_panel=_OLD, help="Back up to FILE first."),
]
BackupTablesOption = Annotated[
    bool, typer.Option("--backup-tables", rich_help_panel=_OLD, help="Back up only OpenMemory's tables.")
]
OwnerOption = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME",
        callback=tenant_of,
        rich_help_panel=_OLD,
        help="Tenant of the old rows.",
    ),
]
TenantFromOption = Annotated[
    str | None,
    typer.Option(
        "--tenant-from",
        metavar="user_id",
        callback=tenant_from_of,
        rich_help_panel=_OLD,
        help="Make each old user a tenant; rows without a user go to --tenant.",
    ),
]
DimensionOption = Annotated[
    int | None,
    typer.Option(
        "--dim",
        min=1,
        max=DIMENSION_MAX,
        rich_help_panel=_OLD,
        help="Dimensions of the new vectors; the most frequent ones if absent. Others are set aside.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--embedding-model",
        metavar="NAME",
        callback=model_of,
        rich_help_panel=_OLD,
        help="Model that made the old vectors, such as openai:text-embedding-3-small; may be named later.",
    ),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, rich_help_panel=_OLD, help="Rows a transaction [10000].")
]
StepOption = Annotated[
    str | None,
    typer.Option(
        "--step", metavar="NAME", callback=step_of, rich_help_panel=_OLD, help="Only this step, by name or number."
    ),
]
IgnoreSessionsOption = Annotated[
    bool,
    typer.Option(
        "--ignore-sessions", rich_help_panel=_OLD, help="Go on although others' sessions look like a server's."
    ),
]
DropByteaOption = Annotated[
    bool, typer.Option("--drop-bytea", rich_help_panel=_BACK, help="Drop the old tables that were kept, for good.")
]
DownOption = Annotated[
    bool, typer.Option("--down", rich_help_panel=_BACK, help="Go back to the old tables, if nothing would be lost.")
]
