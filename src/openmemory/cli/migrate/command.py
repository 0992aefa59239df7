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
    if wanted.dry_run:
        said = {"pending": pending}
        print_json(said) if wanted.as_json else console().print("\n".join(pending) or "nothing is pending")
        return
    if wanted.backup and not wanted.backup.exists():
        warn(f"--backup is for the upgrade, which is over: {wanted.backup} is not written; openmemory backup FILE does")
    if pending and not found.status.is_empty:
        agree(
            f"{count_of(len(pending), 'migration')} pending ({', '.join(pending)}). The database holds data: have a"
            " backup. Apply now?",
            yes=wanted.yes,
        )
    if found.status.is_empty:
        _agree_to_new_tables(found, wanted)
    applied = [migration.name for migration in _brought_up(found, wanted)]
    if wanted.as_json:
        print_json({"applied": applied})
    else:
        console().print(f"{count_of(len(applied), 'migration')} applied" if applied else "nothing is pending")


def _agree_to_new_tables(found: Reached, wanted: Wanted) -> None:
    """Ask before tables are made beside those of an older OpenMemory: the schema's name may be a typing error."""
    from openmemory.cli.printing import agree
    from openmemory.postgres.upgrade.look import elsewhere

    names = found.old.names
    if others := elsewhere(found.old.logins.owner, names):
        agree(
            f"Schema {names.schema} holds nothing, but {', '.join(others)} has a table {names.memories}"
            f" (OM_PG_SCHEMA). Make new, empty tables in {names.schema}?",
            yes=wanted.yes,
        )


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
