"""A database of an older OpenMemory: look, ask, back up, lift; and the ways back."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from time import monotonic
from typing import TYPE_CHECKING

from openmemory.cli.naming import index_choice
from openmemory.cli.printing import agree, console, count_of, print_json, progress, safe, size, warn, when_stopped
from openmemory.cli.upgrade import backups, models, sessions
from openmemory.cli.upgrade.wanted import Old, Wanted
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.postgres.statements import Names
    from openmemory.postgres.upgrade.found import Estimate, Found
    from openmemory.postgres.upgrade.plan import Plan
    from openmemory.settings import Settings


def run(old: Old, wanted: Wanted) -> None:
    """Look at an old database, print that, ask, and lift it."""
    from openmemory.cli.upgrade.report import print_found
    from openmemory.postgres.upgrade.look import look, writers
    from openmemory.postgres.upgrade.obstacles import refuse_obstacles, refuse_read_only
    from openmemory.postgres.upgrade.standing import refuse_beside

    refuse_beside(old.logins.owner, old.names)
    with when_stopped("nothing was changed"), progress("looking at the database"):
        begun_s = monotonic()
        found = look(old.logins.owner, old.names, _decided(old, wanted))
    plan = _plan(old, found, wanted)
    sample = found.sampled.get(plan.dimension)
    models.check(wanted.embedding_model, plan.dimension, sample)
    estimate = _estimate(old, found, plan)
    if not wanted.as_json:
        print_found(found, plan, old.names.vector_type, estimate, index_choice(old.settings), _free_bytes(old.settings))
    names = replace(old.names, dimension=plan.dimension)
    refuse_obstacles(old.logins.owner, names, found, index_choice(old.settings))
    if wanted.dry_run:
        if wanted.as_json:
            print_json({"found": _document(found, plan, estimate), "report": None})
        return
    refuse_read_only(found)
    sessions.refuse_writers(found.writers, wanted.ignore_sessions)
    _agree(old, found, plan, wanted)
    made_by = models.model(old.settings, old.recorded, plan, wanted.embedding_model, sample, yes=wanted.yes)
    plan = replace(plan, embedding_model=made_by)
    with when_stopped("there is no backup, and nothing was changed"):
        backups.back_up(old, wanted)
    with progress("looking whether anybody writes"):
        sessions.refuse_writes(old.logins.owner, old.names, found, begun_s)
        sessions.refuse_writers(writers(old.logins.owner, old.names), wanted.ignore_sessions)
    lift(old, found, plan, wanted)


def go_back(old: Old, wanted: Wanted) -> None:
    """Go back to the old tables, after a question."""
    from openmemory.postgres.upgrade.standing import repaired
    from openmemory.postgres.upgrade.way_back import down, embedded_since

    _refuse_without_upgrade(old, "--down")
    sessions.refuse_servers(old, wanted.ignore_sessions)
    model = embedded_since(old.logins.owner, _own_names(old))
    again = repaired(old.logins.owner, old.names)
    going = [f"the vectors of {safe(model)}, which `openmemory reembed` made since"] if model else []
    going += [f"{count_of(again, 'vector')} that `openmemory reembed --quarantined` made since"] if again else []
    also = f" It drops {' and '.join(going)}." if going else ""
    if going and wanted.yes:
        warn(f"going back drops {' and '.join(going)}")
    agree(
        "The old tables come back as they were and the new ones are dropped; it is refused where something newer would"
        f" be lost.{also} Go back?",
        yes=wanted.yes,
    )
    down(old.logins.owner, _own_names(old))
    gone = f"; gone are {' and '.join(going)}" if going else ""
    said = {"down": True, "dropped_vectors_of": model, "dropped_repaired": again}
    _say(wanted, said, f"the old tables are back{gone}")


def drop_old(old: Old, wanted: Wanted) -> None:
    """Drop the old tables for good, after a question."""
    from openmemory.postgres.upgrade.standing import kept_bytes
    from openmemory.postgres.upgrade.way_back import drop_bytea, foreign_keys, left_behind

    _refuse_without_upgrade(old, "--drop-bytea")
    kept = kept_bytes(old.logins.owner, old.names)
    if kept:
        keys = foreign_keys(old.logins.owner, _own_names(old))
        going = f" These foreign keys of other tables go with them: {', '.join(keys)}." if keys else ""
        left = left_behind(old.logins.owner, _own_names(old))
        columns = [f"{one.column} of {one.table}" for one in left if not one.expression]
        going += f" These columns are nowhere else: {', '.join(columns)}." if columns else ""
        computed = [f"{one.column} of {one.table} ({one.expression})" for one in left if one.expression]
        going += f" These computed columns go with them: {', '.join(computed)}." if computed else ""
        agree(
            f"The old tables ({', '.join(kept)}; {size(sum(kept.values()))}) are dropped for good: the old bytes in v"
            " and every old column are lost, and `openmemory migrate --down` is possible no more. What was set aside"
            f" stays in its quarantine tables.{going} Drop them?",
            yes=wanted.yes,
        )
    constraints = drop_bytea(old.logins.owner, _own_names(old))
    for constraint in constraints if not wanted.as_json else ():
        console().print(f"dropped with them: {constraint}", soft_wrap=True)
    said = {"dropped": kept, "constraints": constraints}
    _say(wanted, said, f"dropped, {size(sum(kept.values()))} freed" if kept else "there are no old tables any more")


def name_model(old: Old, wanted: Wanted) -> None:
    """Record which model made the vectors of a database that is lifted."""
    from openmemory.postgres.upgrade.sample import kept_sample
    from openmemory.postgres.upgrade.way_back import embedded_since

    others = [flag for flag in wanted.of_an_upgrade if flag != "--embedding-model"]
    if others:
        raise ConfigurationError(
            f"{others[0]}: the database is lifted, and only the model of its vectors can be named; leave"
            f" {others[0]} out"
        )
    if since := embedded_since(old.logins.owner, _own_names(old)):
        raise ConfigurationError(
            f"--embedding-model: `openmemory reembed` made the vectors anew since, with {safe(since)}; leave it out"
        )
    model = wanted.embedding_model or ""
    models.check(model, _own_names(old).dimension, kept_sample(old.logins.owner, _own_names(old)))
    models.rename(old.logins.owner, old.names, model, yes=wanted.yes)
    _say(wanted, {"embedding_model": model}, f"the vectors are recorded as made by {safe(model)}")


def names_another_model(old: Old, wanted: Wanted) -> bool:
    """Return whether the command names another model than the lifted database has recorded."""
    from openmemory.postgres.registry import facts

    if not wanted.embedding_model or not old.recorded:
        return False
    return facts(old.logins.owner, old.names).get("embedding_model") != wanted.embedding_model


def check_against(recorded: Mapping[str, str], wanted: Wanted) -> None:
    """Raise ConfigurationError if options differ from the decisions that an upgrade began with."""
    if "tenant" not in recorded:
        return
    for flag, said, name in (
        ("--tenant", wanted.tenant, "tenant"),
        ("--tenant-from", wanted.tenant_from, "tenant_from"),
        ("--dim", None if wanted.dim is None else str(wanted.dim), "dimension"),
    ):
        if said is not None and said != recorded[name]:
            raise ConfigurationError(
                f"{flag} {said}: the upgrade was begun with {recorded[name] or 'none'}; leave {flag} out to keep to"
                " that, or begin anew after `openmemory migrate --down`"
            )


def check_settings(old: Old) -> None:
    """Raise ConfigurationError if settings differ from those that an upgrade began with."""
    for setting, now, name in (
        ("OM_VEC_TYPE", old.names.vector_type, "vector_type"),
        ("OM_PG_APP_ROLE", old.names.app_role, "app_role"),
    ):
        if (begun_with := old.recorded.get(name, now)) != now:
            raise ConfigurationError(
                f"{setting}={now}: the upgrade was begun with {begun_with}; set it back, or begin anew after"
                " `openmemory migrate --down`"
            )


def _plan(old: Old, found: "Found", wanted: Wanted) -> "Plan":
    from openmemory.postgres.upgrade import record

    check_against(old.recorded, wanted)
    check_settings(old)
    plan = _decided(old, wanted)
    plan = replace(plan, dimension=wanted.dim or found.dimension, batch_size=wanted.batch_size or plan.batch_size)
    if not found.dimensions and not old.recorded:
        plan = models.without_vectors(old.settings, plan, wanted.dim)
    return record.begun_with(old.recorded, plan)


def _decided(old: Old, wanted: Wanted) -> "Plan":
    """Return the plan with the rows' tenant, which is decided before the database is looked at."""
    from openmemory.postgres.upgrade import record
    from openmemory.postgres.upgrade.plan import DEFAULT_TENANT, Plan

    plan = Plan(old.names.dimension, wanted.tenant or DEFAULT_TENANT, wanted.tenant_from is not None)
    return record.begun_with(old.recorded, plan)


def _agree(old: Old, found: "Found", plan: "Plan", wanted: Wanted) -> None:
    from openmemory.cli.upgrade.report import joins

    if old.recorded and wanted.backup:
        question = f"Go on with the upgrade, if {wanted.backup} holds the old tables?"
    elif old.recorded:
        question = "No --backup FILE is named; the old tables are as they were. Go on with the upgrade?"
    elif wanted.backup:
        what = "OpenMemory's tables" if wanted.backup_tables else "the whole database"
        question = f"Back up {what} to {wanted.backup}, then upgrade?"
    else:
        question = (
            "There is NO BACKUP of this database from here (--backup FILE makes one first). The old tables are kept,"
            " but a disk may fail. Upgrade without a backup?"
        )
    rows, doubt = sum(found.rows.values()), "" if wanted.ignore_sessions else sessions.doubt(found)
    if doubt and wanted.yes:
        warn(doubt)
    joined = f"Note that {joins(plan)}." if found.joins_rest else ""
    if joined and wanted.yes and wanted.as_json:  # else it was printed with what was found
        warn(joins(plan))
    agree(" ".join(filter(None, [doubt, joined, f"{rows:,} rows will be moved.", question])), yes=wanted.yes)


def lift(old: Old, found: "Found | None", plan: "Plan", wanted: Wanted) -> None:
    """Run the steps that are left, and print what came of them."""
    from openmemory.cli.upgrade.report import bar, print_report
    from openmemory.postgres.upgrade.layout import Layout
    from openmemory.postgres.upgrade.standing import kept_bytes
    from openmemory.postgres.upgrade.steps import upgrade

    names = replace(old.names, dimension=plan.dimension)
    index, login = index_choice(old.settings), old.logins.server_user
    with bar(stderr=wanted.as_json) as show:
        report = upgrade(old.logins.owner, names, plan, show, wanted.step, login=login, index=index)
    if wanted.as_json:
        document = _document(found, plan, _estimate(old, found, plan)) if found else None
        print_json({"found": document, "report": asdict(report)})
        return
    print_report(report, kept_bytes(old.logins.owner, names), Layout(names, plan).kept)
    if report.rows and (said := models.recorded_as(plan.embedding_model, is_said=bool(wanted.embedding_model))):
        console().print(said)


def _estimate(old: Old, found: "Found", plan: "Plan") -> "Estimate":
    """Return the size of the new tables, and of the indexes that the settings ask for on the moved vectors."""
    from openmemory.postgres import shared_indexes

    kind, vectors = old.names.vector_type, found.dimensions.get(plan.dimension, 0)
    indexes = shared_indexes.size_of(index_choice(old.settings), kind, plan.dimension, vectors)
    return found.estimate(kind, plan.dimension, indexes)


def _document(found: "Found", plan: "Plan", estimate: "Estimate") -> dict[str, object]:
    """Return what was found, and what it means for this plan, as a document for JSON."""
    return {
        **asdict(found),
        "estimate": asdict(estimate),
        "set_aside": found.kept_back(plan.dimension),
        "plan": asdict(plan),
    }


def _free_bytes(settings: "Settings") -> int | None:
    """Return the free bytes on the disk of the embedded PostgreSQL, or None for another server."""
    if not settings.database.embedded:
        return None
    import shutil

    from openmemory import app

    return shutil.disk_usage(app.data_folder(settings)).free


def _refuse_without_upgrade(old: Old, flag: str) -> None:
    if not old.recorded:
        raise ConfigurationError(f"{flag}: no upgrade was begun in schema {old.names.schema}; there is nothing to do")


def _own_names(old: Old) -> "Names":
    return replace(old.names, dimension=int(old.recorded.get("dimension", old.names.dimension)))


def _say(wanted: Wanted, document: Mapping[str, object], line: str) -> None:
    if wanted.as_json:
        print_json(dict(document))
    else:
        console().print(line, soft_wrap=True)
