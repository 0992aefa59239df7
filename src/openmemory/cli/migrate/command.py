"""`openmemory migrate`: bring the database to the schema of this version, from whichever it has."""

from typing import TYPE_CHECKING

import typer

from openmemory.cli.migrate.database import ASKED, Asked, Reached, reached
from openmemory.cli.naming import index_choice
from openmemory.cli.options import ConfigOption, JsonOption, YesOption, read_settings
from openmemory.cli.printing import when_stopped
from openmemory.cli.upgrade import finishing, lifting
from openmemory.cli.upgrade.options import (
    BackupOption,
    BackupTablesOption,
    BatchSizeOption,
    DimensionOption,
    DownOption,
    DropByteaOption,
    DryRunOption,
    IgnoreSessionsOption,
    ModelOption,
    OwnerOption,
    StepOption,
    TenantFromOption,
)
from openmemory.cli.upgrade.wanted import Wanted
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.postgres.migrate import Migration


def migrate(
    context: typer.Context,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    backup: BackupOption = None,
    backup_tables: BackupTablesOption = False,
    tenant: OwnerOption = None,
    tenant_from: TenantFromOption = None,
    dim: DimensionOption = None,
    embedding_model: ModelOption = None,
    batch_size: BatchSizeOption = None,
    step: StepOption = None,
    ignore_sessions: IgnoreSessionsOption = False,
    drop_bytea: DropByteaOption = False,
    down: DownOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the database to this version: apply what is pending, or upgrade an older OpenMemory's database.

    Looks first, and asks before anything that holds data is changed.
    """
    if context.invoked_subcommand is not None:
        from openmemory.cli.options import Given

        before = context.find_object(Given)
        context.obj = Given(config or (before.config if before else None))
        context.meta[ASKED] = Asked(as_json)
        return
    wanted = Wanted(
        yes=yes,
        as_json=as_json,
        dry_run=dry_run,
        tenant=tenant,
        tenant_from=tenant_from,
        dim=dim,
        embedding_model=embedding_model,
        batch_size=batch_size,
        backup=backup,
        backup_tables=backup_tables,
        step=step,
        drop_bytea=drop_bytea,
        down=down,
        ignore_sessions=ignore_sessions,
    )
    wanted.check()
    standing = "what is done is recorded, and the same command goes on from there"
    with when_stopped(standing), reached(read_settings(context, config)) as found:
        _go(found, wanted)


def _go(found: Reached, wanted: Wanted) -> None:
    """Do what is due on a database of this kind."""
    if wanted.down:
        lifting.go_back(found.old, wanted)
    elif wanted.drop_bytea:
        lifting.drop_old(found.old, wanted)
    elif found.is_half_done and "exchanged_at" in found.old.recorded:
        finishing.finish(found.old, wanted)
    elif found.status.is_foreign or found.is_half_done:
        lifting.run(found.old, wanted)
    elif lifting.names_another_model(found.old, wanted):
        lifting.name_model(found.old, wanted)
    else:
        _refuse_what_is_for_old(found, wanted)
        _apply(found, wanted)


def _refuse_what_is_for_old(found: Reached, wanted: Wanted) -> None:
    lifting.check_against(found.old.recorded, wanted)
    others = [flag for flag in wanted.of_an_upgrade if flag != "--dry-run"]
    if others and not found.old.recorded:
        raise ConfigurationError(
            f"{others[0]}: schema {found.old.names.schema} holds no database of an older OpenMemory; leave it out"
        )


def _apply(found: Reached, wanted: Wanted) -> None:
    """Apply the migrations that are pending."""
    from openmemory.cli.printing import agree, console, count_of, print_json, warn

    pending = [migration.name for migration in found.status.pending]
    beside = _beside(found)
    closed = _closed(found)
    if wanted.dry_run:
        for hindrance in filter(None, (beside, closed)):
            warn(hindrance)
        said = {"pending": pending}
        print_json(said) if wanted.as_json else console().print("\n".join(pending) or "nothing is pending")
        return
    if pending and closed:
        raise ConfigurationError(f"{count_of(len(pending), 'migration')} pending, and {closed}. Nothing was changed")
    if wanted.backup and not wanted.backup.exists():
        warn(f"--backup is for the upgrade, which is over: {wanted.backup} is not written; openmemory backup FILE does")
    if pending and not found.status.is_empty:
        agree(
            f"{count_of(len(pending), 'migration')} pending ({', '.join(pending)}). The database holds data: have a"
            " backup. Apply now?",
            yes=wanted.yes,
        )
    if beside:
        _agree_to_new_tables(found, wanted, beside)
    if closed:
        warn(f"rights and indexes are left as they are: {closed}")
    applied = [] if closed else [migration.name for migration in _brought_up(found, wanted)]
    if wanted.as_json:
        print_json({"applied": applied})
    else:
        console().print(f"{count_of(len(applied), 'migration')} applied" if applied else "nothing is pending")


def _closed(found: Reached) -> str:
    """Return why nothing can be written, "" where something can."""
    from openmemory.postgres.direct import connected
    from openmemory.postgres.hindrances import read_only

    with connected(found.old.logins.owner) as connection:
        return read_only(connection)


def _beside(found: Reached) -> str:
    """Return where other tables of memories are, if new ones are about to be made: a setting may be forgotten."""
    from openmemory.postgres.upgrade.look import elsewhere

    names = found.old.names
    others = elsewhere(found.old.logins.owner, names) if found.status.is_empty else ()
    listed = "; ".join(
        f"{one.schema} has a table {one.table}{' of an older OpenMemory' if one.is_old else ''} ({one.settings(names)})"
        for one in others
    )
    return f"Schema {names.schema} holds nothing, but {listed}" if others else ""


def _agree_to_new_tables(found: Reached, wanted: Wanted, beside: str) -> None:
    """Ask before tables are made beside others, and say so where nobody is asked."""
    from openmemory.cli.printing import agree, warn

    schema = found.old.names.schema
    if wanted.yes:
        warn(f"{beside}. New, empty tables are made in {schema}")
    agree(f"{beside}. Make new, empty tables in {schema}?", yes=wanted.yes)


def _brought_up(found: Reached, wanted: Wanted) -> "list[Migration]":
    from openmemory import app
    from openmemory.cli.printing import console
    from openmemory.postgres import roles, shared_indexes

    def on_index(name: str) -> None:
        console(stderr=wanted.as_json).print(f"building {name}", soft_wrap=True)

    def on_step(migration: "Migration") -> None:
        console(stderr=wanted.as_json).print(f"applying {migration.name}", soft_wrap=True)

    old = found.old
    if old.recorded and not found.status.pending:
        # The model of a lifted database's vectors does not matter here: `serve` refuses a wrong one.
        roles.prepare_app_role(old.logins.owner, old.names)
        roles.grant(old.logins.owner, old.names, old.logins.server_user)
        applied = []
    else:
        embedder = app.create_embedder(old.settings)
        applied = app.bring_up_to_date(old.logins, app.names(old.settings, embedder), embedder, on_step)
    shared_indexes.ensure(old.logins.owner, old.names, index_choice(old.settings), on_index)
    return applied
