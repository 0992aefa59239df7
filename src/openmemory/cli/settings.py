"""`openmemory settings`: what holds, and where it was said."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from openmemory.cli.options import ConfigOption, JsonOption, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from openmemory.settings import SettingRow

_LEAST_COLUMNS = 60  # of a terminal in which the values have room beside the names


def settings(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting with its value and where it comes from; secrets are masked."""
    from openmemory.cli.printing import console, print_json
    from openmemory.settings import describe

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
    shown = console()
    if shown.width < _LEAST_COLUMNS:
        _print_stacked(shown, rows)
    else:
        _print_table(shown, rows)


def _print_table(shown: "Console", rows: "Sequence[SettingRow]") -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("source", no_wrap=True)
    for row in rows:
        table.add_row(row.name, _value(row), row.source.value, style=_style(row))
    shown.print(table)


def _print_stacked(shown: "Console", rows: "Sequence[SettingRow]") -> None:
    from openmemory.cli.printing import print_indented

    for row in rows:
        shown.print(f"{row.name} ({row.source.value})", style=_style(row), overflow="fold")
        if value := _value(row):
            print_indented(value, spaces=2, style=_style(row))


def _value(row: "SettingRow") -> str:
    from openmemory.cli.printing import safe
    from openmemory.settings.catalogue import catalogue

    unset = catalogue()[row.name].unset.replace("`", "")
    return safe(row.value) or (f"({unset})" if unset else "")


def _style(row: "SettingRow") -> str:
    from openmemory.settings import Source

    return "dim" if row.source is Source.DEFAULT else ""
