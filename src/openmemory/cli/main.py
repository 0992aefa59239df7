"""The commands and the options they share."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openmemory import app
from openmemory.cli.state import State, state
from openmemory.errors import OpenMemoryError
from openmemory.server.telemetry import configure_logging
from openmemory.settings import load

cli = typer.Typer(
    name="openmemory",
    help="Long-term memory for agents: many tenants on one PostgreSQL, isolated by the database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command; an expected error is one line on standard error and exit status 1."""
    try:
        cli()
    except OpenMemoryError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"openmemory: {error.detail}", style="red", markup=False, highlight=False
        )
        sys.exit(1)


@cli.callback()
def shared(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="File of settings (dotenv); the environment comes first.")] = None,
) -> None:
    """Read the settings."""
    context.obj = State(config)
