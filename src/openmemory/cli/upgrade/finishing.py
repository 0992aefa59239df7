"""An upgrade that was stopped after its new tables took the old names: there is nothing left to look at or back up."""

from dataclasses import replace

from openmemory.cli.printing import agree, console, print_json
from openmemory.cli.upgrade import lifting, models
from openmemory.cli.upgrade.wanted import Old, Wanted


def finish(old: Old, wanted: Wanted) -> None:
    """Do the rest of the last step. The old tables are kept, whole, in a schema of their own."""
    from openmemory.postgres.upgrade import record
    from openmemory.postgres.upgrade.plan import Plan
    from openmemory.postgres.upgrade.sample import kept_sample

    lifting.check_against(old.recorded, wanted)
    lifting.check_settings(old)
    names = replace(old.names, dimension=int(old.recorded.get("dimension", old.names.dimension)))
    models.check(wanted.embedding_model, names.dimension, kept_sample(old.logins.owner, names))
    said = "the new tables are in place, and only the rights of the roles are left to be given"
    if wanted.dry_run:
        print_json({"found": None, "report": None}) if wanted.as_json else console().print(said, soft_wrap=True)
        return
    agree(f"{said.capitalize()}. Finish the upgrade?", yes=wanted.yes)
    plan = record.begun_with(old.recorded, Plan(old.names.dimension))
    if wanted.embedding_model:
        models.rename(old.logins.owner, old.names, wanted.embedding_model, yes=wanted.yes)
        plan = replace(plan, embedding_model=wanted.embedding_model)
    lifting.lift(old, None, plan, wanted)
