"""Print an old database, the plan of its upgrade and the result, for a person at a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from openmemory.cli.printing import console, count_of, one_line, print_facts, print_indented, size, warn
from openmemory.cli.upgrade.models import none_made

if TYPE_CHECKING:
    from openmemory.postgres.event_triggers import EventTrigger
    from openmemory.postgres.shared_indexes import IndexChoice
    from openmemory.postgres.upgrade.found import Estimate, Found, Session, Unmapped
    from openmemory.postgres.upgrade.plan import Plan, Progress, Report
    from openmemory.postgres.upgrade.standing import Aside

_NOT_FINITE = ("vectors: holds NaN", "vectors: holds infinity")
_MINUTE_S, _HOUR_S = 60, 3600
_ID_CHARS = 80


def print_found(
    found: "Found", plan: "Plan", vector_type: str, estimate: "Estimate", index: "IndexChoice", free_bytes: int | None
) -> None:
    """Print what is there, what will be done, and what it takes."""
    console().print("Found", style="bold")
    print_facts(_there(found, plan))
    console().print("To do", style="bold")
    print_facts(_to_do(found, plan, vector_type, estimate, free_bytes) | _indexes(index, plan, vector_type, estimate))
    counted = found.kept_back(plan.dimension)
    console().print("Set aside in quarantine tables, with the reason", style="bold")
    _print_reasons(_aside({what: count for what, count in counted.items() if not is_kept(what)}, found))
    if noted := {what: _rows(what, count, found.examples) for what, count in counted.items() if is_kept(what)}:
        console().print("Kept, and noted there", style="bold")
        _print_reasons(noted)
    own = [one for one in found.unmapped if not one.is_derived]
    if found.dependants or own:
        console().print("Without a place of its own in the new tables", style="bold")
        print_facts({f"{one.kind} {one.name} on {one.of_table}": one.becomes for one in found.dependants})
        print_facts({f"column {one.column} of {one.table}": _becomes(one) for one in own})
    if found.event_triggers:
        console().print("Event triggers that fire on what the upgrade does", style="bold")
        print_facts({one.name: _looks(one) for one in found.event_triggers})
    if found.read_only:
        warn(f"the upgrade cannot be run here: {found.read_only}")
    if found.has_namesake:
        warn(
            f"a user is called {plan.tenant}, and becomes the tenant that gets the rows of no user, which it will see;"
            " --tenant NAME gives those to another"
        )
    if found.joins_rest:
        warn(joins(plan))
    if vector_type == "halfvec":
        warn("OM_VEC_TYPE=halfvec rounds the old vectors to 16 bits; OM_VEC_TYPE=vector keeps each bit")
    if found.extension_installed is None and found.extension_available is None:
        warn("pgvector is not on this server: install 0.8.0 or newer before going on")
    if found.hidden_sessions:
        warn(
            f"this login may not see what {count_of(found.hidden_sessions, 'other session')} last did (that takes"
            " pg_read_all_stats), so an old server that writes may be missed: make sure that it is stopped"
        )


def print_report(report: "Report", kept: Mapping[str, int], schema: str) -> None:
    """Print what came of an upgrade, and what is left to the owner."""
    for step in report.steps:
        console().print(f"done  {step}", soft_wrap=True)
    print_facts({name: count_of(count, "row") for name, count in report.rows.items()})
    aside = report.set_aside.items()
    _print_reasons({f"{_fate(what)}: {what}": _rows(what, count, report.examples) for what, count in aside})
    if report.left_alone:
        console().print(f"left as they are: {', '.join(report.left_alone)}")
    if kept:
        console().print(
            f"The old tables are kept in schema {schema} ({size(sum(kept.values()))}) until"
            " `openmemory migrate --drop-bytea`; `openmemory migrate --down` goes back to them."
        )


def joins(plan: "Plan") -> str:
    """Return a warning of rows that get a tenant which others have as their own."""
    return (
        f"rows name {plan.tenant} as their tenant, and the rows that name none go to it as well: both see all of them"
        " then; --tenant NAME gives those to another"
    )


def is_kept(reason: str) -> bool:
    """Return whether rows with this reason are kept, and only a note of what they lost is set aside."""
    return "; kept " in reason


def print_aside(found: "Sequence[Aside]") -> None:
    """Print what was set aside, by reason, with the first ids."""
    for one in found:
        first = ", ".join(map(_shown, one.first_ids)) + (" ..." if one.count > len(one.first_ids) else "")
        rows = count_of(one.count, "row") + (f": {first}" if first else "")
        _print_reasons({f"{_fate(one.reason)}: {one.source}: {one.reason}": rows})


def told(sessions: "Sequence[Session]") -> str:
    """Return sessions as an error names them."""
    return "; ".join(
        f"pid {one.pid} ({', '.join(filter(None, (one.application, one.address or 'local', one.user, one.state)))})"
        for one in sessions
    )


@contextmanager
def bar(*, stderr: bool) -> "Iterator[Callable[[Progress], None]]":
    """Show how far each step is: a bar on a terminal, else a line for each thing that is begun."""
    shown = console(stderr=stderr)
    if not shown.is_terminal:
        yield _lines(stderr=stderr)
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.percentage:>3.0f}% {task.fields[pace]}"),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=shown, expand=True) as live:
        tasks: dict[tuple[str, str], progress.TaskID] = {}

        def show(now: "Progress") -> None:
            key = (now.step, now.doing)
            if key not in tasks:
                for before in live.tasks:  # tasks run one after the other, and not all of them report their end
                    live.update(before.id, total=before.total or 1, completed=before.total or 1)
                tasks[key] = live.add_task(f"{now.step[:3]} {now.doing}", total=now.total or None, pace="")
            live.update(tasks[key], completed=now.done, total=now.total or None)
            task = next(task for task in live.tasks if task.id == tasks[key])
            live.update(tasks[key], pace=f"{now.done:,} {f'{task.speed:,.0f}/s' if task.speed else ''}")

        yield show


def _lines(*, stderr: bool) -> "Callable[[Progress], None]":
    begun: set[tuple[str, str]] = set()

    def show(now: "Progress") -> None:
        if (now.step, now.doing) not in begun:
            begun.add((now.step, now.doing))
            console(stderr=stderr).print(f"{now.step}: {now.doing}", soft_wrap=True)

    return show


def _print_reasons(rows: Mapping[str, str]) -> None:
    """Print each reason, which may be long, and below it the rows."""
    for reason, said in rows.items():
        print_indented(reason, spaces=0)
        print_indented(said, spaces=2)


def _shown(id_: str) -> str:
    """Return an id of an old row, which may be any text."""
    return one_line(id_) if len(id_) <= _ID_CHARS else f"{one_line(id_[:_ID_CHARS])}…"


def _becomes(one: "Unmapped") -> str:
    return f"{count_of(one.rows, 'row')}; {one.becomes}"


def _looks(one: "EventTrigger") -> str:
    return f"calls {one.function}, which finds no name of yours in the upgrade's search path: {one.remedy}"


def _fate(reason: str) -> str:
    return "kept, with a note" if is_kept(reason) else "set aside"


def _there(found: "Found", plan: "Plan") -> dict[str, str]:
    dimensions = ", ".join(f"{size}: {count:,}" for size, count in found.dimensions.items())
    installed = f"pgvector {found.extension_installed}" if found.extension_installed else "pgvector not installed"
    offered = f" ({found.extension_available} on the server)" if found.extension_available else " (nor on the server)"
    return {
        "database": found.shape,
        "schema": found.schema,
        "server": f"PostgreSQL {found.server_version}, {installed}{offered}",
        **{name: count_of(count, "row") for name, count in found.rows.items()},
        "dimensions": dimensions or "no vectors",
        "model": none_made(found.sampled.get(plan.dimension)),
        "disk": size(found.bytes),
        "left as they are": ", ".join(found.left_alone),
        "begun": _begun(found.upgrade),
        "likely a server": told(found.writers),
        "perhaps a server": told(found.doubtful),
    }


def _to_do(
    found: "Found", plan: "Plan", vector_type: str, estimate: "Estimate", free_bytes: int | None
) -> dict[str, str]:
    each = "each user becomes a tenant; rows without one go to " if plan.tenant_from_user else "every row goes to "
    own = ", but for rows that name a tenant of their own" if found.has_tenants else ""
    free = f"; {size(free_bytes)} are free" if free_bytes is not None else ""
    if found.tablespace:
        free += f". The new tables go to the tablespace {found.tablespace}, where the old vectors lie"
    if found.forbidden_tablespace:
        free += (
            f". The new tables go to the database's own tablespace: this login may make nothing in"
            f" {found.forbidden_tablespace}, where the old vectors lie (GRANT CREATE ON TABLESPACE changes that)"
        )
    return {
        "tenant": each + plan.tenant + own,
        "vectors": f"{vector_type}({plan.dimension}), beside the old ones",
        "free disk needed": f"about {size(estimate.bytes)} for the new tables beside the old, and room for the"
        f" write-ahead log ({size(estimate.wal_bytes)} in all, recycled unless it is archived){free}",
        "time": _time(found, estimate),
        "not copied": _derived(found),
        "old tables": "kept until `openmemory migrate --drop-bytea`; `--down` goes back. They take no writes meanwhile",
    }


def _time(found: "Found", estimate: "Estimate") -> str:
    """Return how long it will take; a text in another script than Latin takes longer than is foretold."""
    by_texts = estimate.text_seconds > estimate.seconds / 2 and estimate.seconds > _MINUTE_S
    span, texts = _span(estimate.seconds), size(found.said_bytes)
    said = f"at least {span}, for {texts} of text" if by_texts else f"about {span}"
    return f"{said}, by the pace of one core; an estimate"


def _indexes(index: "IndexChoice", plan: "Plan", vector_type: str, estimate: "Estimate") -> dict[str, str]:
    if not estimate.index_bytes:
        return {}
    assumed = f"m = {index.m}" if index.type == "hnsw" else f"lists = {index.lists} a sector"
    return {
        "disk for indexes": f"about {size(estimate.index_bytes)} more for {index.type} ({assumed}, pages of 8 KiB,"
        f" every {vector_type}({plan.dimension}) in one of the five sectors); to build them is not in the time"
    }


def _derived(found: "Found") -> str:
    columns = [one.column for one in found.unmapped if one.is_derived]
    return f"what upstream derived of memories: {', '.join(columns)}" if columns else ""


def _aside(counted: Mapping[str, int], found: "Found") -> dict[str, str]:
    rows = {what: _rows(what, count, found.examples) for what, count in counted.items()}
    later = {} if found.checked_finite else dict.fromkeys(_NOT_FINITE, "found while they are converted")
    return {**rows, **later} or {"nothing": "every row has a place in the new tables"}


def _rows(what: str, count: int, examples: Mapping[str, str]) -> str:
    return count_of(count, "row") + (f", such as {_shown(examples[what])}" if what in examples else "")


def _begun(recorded: Mapping[str, str]) -> str:
    if not recorded:
        return ""
    return f"an upgrade, and step {recorded['step']} is done" if "step" in recorded else "an upgrade, in its first step"


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return "a minute"
    return f"{seconds / _MINUTE_S:.0f} minutes" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.1f} hours"
