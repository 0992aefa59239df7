"""`openmemory backup FILE`: the database in one file, every row of it counted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.naming import names_of
from openmemory.cli.options import ConfigOption, JsonOption, read_settings

if TYPE_CHECKING:
    from openmemory.postgres.backup.foreign import Others

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", dir_okay=False)]
TablesOption = Annotated[
    bool, typer.Option("--tables", help="Only OpenMemory's tables, and not the whole database around them.")
]


def backup(
    context: typer.Context,
    file: FileArgument,
    tables: TablesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the database to FILE with pg_dump, and count what is in it."""
    from openmemory import app
    from openmemory.cli.printing import console, count_of, print_facts, print_json, progress, size, when_stopped
    from openmemory.errors import ConfigurationError
    from openmemory.postgres.backup import dump, others, our_tables

    settings = read_settings(context, config)
    with progress("opening the database") as on_event, app.reached(settings, on_event) as logins:
        only = our_tables(logins.owner, names_of(settings)) if tables else None
        if only == []:
            raise ConfigurationError(f"schema {settings.database.schema_name} holds no table of OpenMemory")
        with when_stopped(f"{file} was not written"):
            rows = dump(logins.owner, file, settings.database.pg_dump, only, on_event)
        foreign = [] if tables else others(logins.owner, names_of(settings))
    warn_of_others(foreign)
    if as_json:
        print_json({"file": str(file), "bytes": file.stat().st_size, "rows": dict(rows)})
        return
    print_facts({name: f"{number:,}" for name, number in rows.items()})
    total, held = count_of(sum(rows.values()), "row"), size(file.stat().st_size)
    console().print(f"{file} holds {total} of {count_of(len(rows), 'table')} ({held})", soft_wrap=True)


def warn_of_others(found: "Sequence[Others]") -> None:
    """Warn of objects in a backup of the whole database that the owner of OpenMemory's tables cannot restore."""
    from openmemory.cli.printing import warn

    if found:
        warn(
            f"the backup is of the whole database, and `openmemory restore` could not make again what is not its own:"
            f" {'; '.join(map(str, found))}. `openmemory restore FILE --tables` brings back OpenMemory's tables alone"
        )
