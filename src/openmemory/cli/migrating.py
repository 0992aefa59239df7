"""`openmemory migrate`: bring the database to the schema of this version."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from openmemory.cli.options import ConfigOption, JsonOption, YesOption, read_settings

if TYPE_CHECKING:
    from openmemory.adapters.embedders import Embedder
    from openmemory.app import Logins
    from openmemory.postgres.migrate import Migration, Status
    from openmemory.postgres.statements import Names
    from openmemory.settings import Settings


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was said to `migrate` before `status`."""

    as_json: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """A database that was reached, and where it stands."""

    logins: "Logins"
    tables: "Names"
    embedder: "Embedder"
    status: "Status"


def migrate(
    context: typer.Context, yes: YesOption = False, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Apply the migrations that are pending; asks first where there are memories already."""
    if context.invoked_subcommand is not None:
        from openmemory.cli.options import Given

        before = context.find_object(Given)
        context.obj = Given(config or (before.config if before else None))
        context.meta[__name__] = _Asked(as_json)
        return
    from openmemory import app
    from openmemory.cli.printing import agree, console, count_of, print_json

    def on_step(migration: "Migration") -> None:
        console(stderr=as_json).print(f"applying {migration.name}", soft_wrap=True)

    with _reached(read_settings(context, config)) as found:
        pending = found.status.pending
        if pending and not found.status.is_empty:
            names = ", ".join(migration.name for migration in pending)
            agree(
                f"{count_of(len(pending), 'migration')} pending ({names}). The database holds data: have a backup."
                " Apply now?",
                yes=yes,
            )
        applied = app.bring_up_to_date(found.logins, found.tables, found.embedder, on_step)
    if as_json:
        print_json({"applied": [migration.name for migration in applied]})
    elif applied:
        console().print(f"{count_of(len(applied), 'migration')} applied")
    else:
        console().print("nothing is pending")


def status(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the migrations that are applied and those that are pending."""
    from openmemory.cli.printing import console, print_json, warn

    asked = context.meta.get(__name__)
    with _reached(read_settings(context, config)) as found:
        applied = [entry.name for entry in found.status.applied]
        pending = [migration.name for migration in found.status.pending]
    if as_json or (asked and asked.as_json):
        print_json({"applied": applied, "pending": pending, "is_foreign": found.status.is_foreign})
        return
    if found.status.is_foreign:
        warn(f"schema {found.tables.schema} holds tables of an older OpenMemory, which no migration here made")
    for word, names in (("applied", applied), ("pending", pending)):
        for name in names:
            console().print(f"{word}  {name}", soft_wrap=True)


@contextmanager
def _reached(settings: "Settings") -> Iterator[_Found]:
    from openmemory import app
    from openmemory.cli.printing import progress
    from openmemory.postgres import migrate

    embedder = app.create_embedder(settings)
    tables = app.names(settings, embedder)
    with ExitStack() as left:
        with progress("opening the database") as on_event:
            logins = left.enter_context(app.reached(settings, on_event))
            found = migrate.status(logins.owner, tables)
        yield _Found(logins, tables, embedder, found)
