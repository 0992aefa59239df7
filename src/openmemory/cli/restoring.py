"""`openmemory restore FILE`: a backup brought back in place of what is there."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.backing import FileArgument
from openmemory.cli.naming import names_of
from openmemory.cli.options import ConfigOption, JsonOption, YesOption, read_settings

if TYPE_CHECKING:
    from openmemory.app import Logins
    from openmemory.postgres.backup import Replaced
    from openmemory.postgres.statements import Names


def restore(
    context: typer.Context,
    file: FileArgument,
    tables: Annotated[
        bool, typer.Option("--tables", help="Only OpenMemory's tables, where the backup is of the whole database.")
    ] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup back; asks first where it would replace tables. A failure leaves what was there."""
    from openmemory import app
    from openmemory.cli.printing import (
        agree,
        console,
        count_of,
        note,
        print_facts,
        print_json,
        progress,
        warn,
        when_stopped,
    )
    from openmemory.postgres import backup

    settings = read_settings(context, config)
    program, names = settings.database.pg_dump, names_of(settings)
    with when_stopped("nothing was restored; what was there is there"), app.reached(settings) as logins:
        with progress(f"reading {file}") as on_event:
            archive = backup.read(file, program, on_event)
            left_out = backup.left_out(archive, names) if tables else ()
            archive = backup.ours_of(archive, names) if tables else archive
            going = backup.replaced(logins.owner, archive, names)
        if left_out:
            warn(
                f"--tables leaves in the file what may need more than OpenMemory's tables: {'; '.join(left_out)}. Make"
                " it anew afterwards"
            )
        is_there = bool(going.tables or going.schemas)
        if is_there:
            note(_told(going))
            agree(f"Replace them with the {count_of(len(archive.rows), 'table')} of {file}?", yes=yes)
        with progress("bringing the backup back") as on_event:
            _prepare_roles(logins, names, archive.rows)
            rows = backup.restore(logins.owner, file, program, on_event, names=names, replace=is_there, archive=archive)
            with when_stopped("the rows are back; `openmemory migrate` sees to the rest"):
                backup.gather_statistics(logins.owner, rows, on_event)
                state = _grant(logins, names)
    if as_json:
        print_json({"file": str(file), "rows": dict(rows), "left_out": list(left_out), "next": state})
        return
    print_facts({name: f"{number:,}" for name, number in rows.items()})
    console().print(f"{count_of(sum(rows.values()), 'row')} of {count_of(len(rows), 'table')} are back", soft_wrap=True)
    if state:
        console().print(f"next: {state}", soft_wrap=True)


def _told(going: "Replaced") -> str:
    """Return what would be lost, each on a line."""
    from openmemory.cli.printing import count_of

    rows = going.tables.items()
    hidden = "rows that this login may not count"
    lines = [f"  {name}  {hidden if number is None else count_of(number, 'row')}" for name, number in rows]
    lines += [f"  all of schema {name}" for name in going.schemas]
    lines += [f"  {one.kind} {one.name}, which stands on {one.of_table}" for one in going.dependants]
    return "\n".join(["The database holds, and would lose:", *lines])


def _prepare_roles(logins: "Logins", names: "Names", rows: Mapping[str, int]) -> None:
    """Make the tenants' role if policies in the backup name it: no dump contains roles."""
    from openmemory.postgres import roles

    if f"{names.schema}.openmemory_migrations" in rows:
        roles.prepare_app_role(logins.owner, names)


def _grant(logins: "Logins", names: "Names") -> str | None:
    """Grant the roles their rights on the restored tables, or return the command that must run first."""
    from openmemory.postgres import migrate, roles

    status = migrate.status(logins.owner, names)
    if status.is_foreign or status.is_empty or status.pending:
        return "openmemory migrate"
    roles.grant(logins.owner, names, logins.server_user)
    return None
