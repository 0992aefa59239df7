"""What a person at a terminal sees when the server has started."""

import ipaddress
from contextlib import suppress

from openmemory import app
from openmemory.cli.printing import console
from openmemory.settings import Settings
from openmemory.settings.masking import mask_dsn


def show_banner(settings: Settings) -> None:
    """Say on standard error where the data lie, where the server listens, and how to begin."""
    shown = console(stderr=True)
    url = url_of(settings.server.host, settings.server.port)
    shown.print()
    shown.print("OpenMemory is ready", style="bold green")
    shown.print(f"  {_place(settings)}", soft_wrap=True)
    shown.print(f"  listening:   {settings.server.host} port {settings.server.port}", soft_wrap=True)
    shown.print(f"  API:         {url}/openapi.json", soft_wrap=True)
    shown.print()
    shown.print("First steps: remember something, then ask.", style="bold")
    for line in first_steps(settings):
        shown.print(f"  {line}", soft_wrap=True)
    shown.print()
    shown.print("Ctrl-C stops it.", style="dim")


def first_steps(settings: Settings) -> list[str]:
    """Return the curl lines that keep a memory and ask for it."""
    access = settings.access
    key = ' -H "x-api-key: $OM_API_KEY"' if access.api_key else ""
    tenant = f" -H '{access.tenant_header}: acme'" if access.multi_tenant else ""
    url = url_of(settings.server.host, settings.server.port)
    return [
        f"curl {url}/memory/{call}{key}{tenant} -H 'content-type: application/json' -d '{body}'"
        for call, body in (
            ("add", '{"content": "The launch is on 12 May"}'),
            ("query", '{"query": "When do we launch?"}'),
        )
    ]


def url_of(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens on `host`."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return f"http://{'[::1]' if address.version == 6 else '127.0.0.1'}:{port}"
        if address.version == 6:
            return f"http://[{host}]:{port}"
    return f"http://{host}:{port}"


def _place(settings: Settings) -> str:
    database = settings.database
    if database.embedded:
        return f"data folder: {app.data_folder(settings)}"
    if database.dsn is not None:
        return f"database:    {mask_dsn(database.dsn.get_secret_value())}"
    return f"database:    {database.db} on {database.host} port {database.port}"
