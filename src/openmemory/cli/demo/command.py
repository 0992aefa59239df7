"""`openmemory demo`: the point, in ten seconds."""

from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.options import ConfigOption, JsonOption, read_settings, scope_of

if TYPE_CHECKING:
    from openmemory.cli.demo.performance import Answer, Report


def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the two tenants in the database.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store what two companies said, ask both the same, and prove that neither saw the other's.

    The two tenants are temporary. Exit status 1 if anything leaked.
    """
    settings = read_settings(context, config)
    if keep:
        scope_of(settings, "demo-kestrel")
    from openmemory.cli.demo.performance import perform
    from openmemory.cli.printing import print_json
    from openmemory.cli.session import session

    with session(settings) as opened:
        report = perform(opened, keep=keep)
        table = opened.ready.names.memories
    if as_json:
        print_json(_document(report))
    else:
        _show(report, table, keep=keep)
    if report.leaks:
        raise typer.Exit(1)


def _show(report: "Report", table: str, *, keep: bool) -> None:
    from openmemory.cli.printing import console, count_of, print_facts, print_indented

    shown = console()
    shown.print("Two companies talk to their assistants. One table holds both.", style="bold")
    own = {tenant.company.name: len(tenant.ids) for tenant in report.tenants}
    print_facts(
        [
            *((f"  {one.company.name}", f"{one.company.title}: {len(one.ids)} memories") for one in report.tenants),
            ("  all", _in_all(report, table)),
        ]
    )
    for question, answers in report.answers:
        shown.print(f"\n{question}", style="bold")
        for answer in answers:
            _show_answer(answer, own[answer.tenant], report.rows_in_all)
    _show_proof(report, table)
    style = "bold red" if report.leaks else "bold green"
    answered = sum(len(answers) for _, answers in report.answers)
    shown.print(f"\n{report.leaks or 'zero'} leaks in {count_of(answered, 'answer')}", style=style)
    if keep:
        print_indented(f'Kept. Ask on: openmemory query --tenant {report.tenants[0].scope.tenant} "…"', spaces=0)


def _show_proof(report: "Report", table: str) -> None:
    from openmemory.cli.printing import console, print_indented

    shown = console()
    shown.print("\nPostgreSQL's own plan of reading the last tenant", style="bold")
    for read in report.answers[-1][1][-1].reads:
        print_indented(read.line, spaces=2)
        print_indented(f"Index Cond: ({read.condition})", spaces=4)
    shown.print("\nTrying to cross over", style="bold")
    names = [tenant.company.name for tenant in report.tenants]
    for name, other in zip(names, reversed(names), strict=True):
        result = "found, a leak!" if report.found_by_id[name] else "not found"
        print_indented(f"{name} reads a memory of {other} by its id: {result}", spaces=2)
    print_indented(f"SELECT count(*) FROM {table}, without any WHERE:", spaces=2)
    counts = [f"{report.visible[name]} as {name}" for name in names]
    if report.rows_in_all is not None:
        counts.append(f"{report.rows_in_all:,} as the owner of the database")
    print_indented(", ".join(counts), spaces=4)


def _show_answer(answer: "Answer", own_rows: int, rows_in_all: int | None) -> None:
    from openmemory.cli.demo.performance import proves
    from openmemory.cli.printing import bar, console, print_indented

    shown = console()
    shown.print(f"  {answer.tenant:<9} {bar(answer.score)} {answer.score:.2f}  {answer.ms:.1f} ms")
    if answer.best is not None:
        print_indented(
            f"{answer.best.speaker}, {answer.best.occurred_at:%d %b}: {answer.best.content}", style="bold cyan"
        )
    for read in answer.reads:
        of_all = f" of {rows_in_all:,}" if rows_in_all is not None else ""
        verdict = "" if proves([read], own_rows) else "  A LEAK"
        condition = read.condition.replace("::text", "") or "none"
        print_indented(f"PostgreSQL read {read.rows}{of_all} rows: {condition}{verdict}", style="dim")


def _in_all(report: "Report", table: str) -> str:
    if report.rows_in_all is None:
        return f"{table}: these and others (the login may not count past row-level security)"
    return f"{table}: {report.rows_in_all:,} rows"


def _document(report: "Report") -> dict[str, object]:
    return {
        "leaks": report.leaks,
        "rows_in_all": report.rows_in_all,
        "tenants": {one.company.name: {"tenant": one.scope.tenant, "rows": len(one.ids)} for one in report.tenants},
        "answers": [
            {
                "question": question,
                "tenant": answer.tenant,
                "content": answer.best.content if answer.best else None,
                "score": answer.score,
                "ms": round(answer.ms, 2),
                "reads": [{"scan": read.line, "by": read.condition, "rows": read.rows} for read in answer.reads],
            }
            for question, answers in report.answers
            for answer in answers
        ],
        "found_by_id": report.found_by_id,
        "visible_without_where": report.visible,
    }
