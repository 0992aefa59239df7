"""`openmemory settings`: what holds, and where it was said."""

import typer

from openmemory.cli.options import ConfigOption, JsonOption, read_settings


def settings(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting with its value and where it comes from; secrets are masked."""
    from openmemory.cli.printing import console, print_json, safe
    from openmemory.settings import Source, describe
    from openmemory.settings.catalogue import catalogue

    found = read_settings(context, config)
    rows = describe(found)
    if as_json:
        print_json(
            {
                "file": str(found.file) if found.file else None,
                "settings": [{"name": row.name, "value": row.value, "source": row.source.value} for row in rows],
                "warnings": list(found.warnings),
            }
        )
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("source", no_wrap=True)
    for row in rows:
        unset = catalogue()[row.name].unset.replace("`", "")
        value = safe(row.value) or (f"({unset})" if unset else "")
        table.add_row(row.name, value, row.source.value, style="dim" if row.source is Source.DEFAULT else "")
    console().print(table)
