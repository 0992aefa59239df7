"""`openmemory serve`: the HTTP server, from the free port to the stopped PostgreSQL."""

from typing import Annotated

import typer

from openmemory.cli.options import ConfigOption, load_settings


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on, instead of OM_HOST.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on, instead of OM_PORT.")] = None,
    config: ConfigOption = None,
) -> None:
    """Serve memories over HTTP until Ctrl-C.

    Without a database in the settings it starts a PostgreSQL of its own, and stops it at the end.
    """
    settings = load_settings(context, config, OM_HOST=host, OM_PORT=None if port is None else str(port))
    from openmemory.cli.running import run

    run(settings)
