"""`openmemory migrate sql STEP`: a step of an upgrade as SQL, for owners who may only use psql."""

from typing import Annotated

import typer

from openmemory.cli.naming import index_choice, names_of
from openmemory.cli.options import ConfigOption, read_settings, tenant_of
from openmemory.cli.upgrade.options import step_of, tenant_from_of
from openmemory.postgres.limits import DIMENSION_MAX

_ROWS_A_BATCH = 10_000


def sql(
    context: typer.Context,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Its number, 1 to 5, or its name.")],
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant", metavar="NAME", callback=tenant_of, help="Tenant of the old rows; `default` if absent."
        ),
    ] = None,
    tenant_from: Annotated[
        str | None,
        typer.Option("--tenant-from", metavar="user_id", callback=tenant_from_of, help="Make each old user a tenant."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option("--dim", min=1, max=DIMENSION_MAX, help="Dimensions; the most frequent ones if absent."),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Rows a transaction.")] = _ROWS_A_BATCH,
    config: ConfigOption = None,
) -> None:
    """Print a step of an upgrade as SQL for psql, with this database's names in it; changes nothing."""
    from dataclasses import replace

    from openmemory import app
    from openmemory.cli.upgrade import lifting
    from openmemory.cli.upgrade.wanted import Wanted
    from openmemory.postgres.upgrade.look import own_dimension
    from openmemory.postgres.upgrade.plan import DEFAULT_TENANT, Plan
    from openmemory.postgres.upgrade.script import script
    from openmemory.postgres.upgrade.steps import state

    chosen = step_of(step)
    settings = read_settings(context, config)
    names = names_of(settings)
    with app.reached(settings) as logins:
        lifting.check_against(state(logins.owner, names), Wanted(tenant=tenant, tenant_from=tenant_from, dim=dim))
        plan = Plan(
            dimension=dim or own_dimension(logins.owner, names),
            tenant=tenant or DEFAULT_TENANT,
            tenant_from_user=tenant_from is not None,
            batch_size=batch_size,
        )
        text = script(
            logins.owner, replace(names, dimension=plan.dimension), plan, chosen or step, index_choice(settings)
        )
    typer.echo(text, nl=False)
