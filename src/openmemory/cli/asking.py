"""`openmemory query`: what answers a question."""

from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.options import (
    ConfigOption,
    JsonOption,
    MetadataOption,
    ProjectOption,
    SectorsOption,
    SessionOption,
    SinceOption,
    TenantOption,
    UntilOption,
    UserOption,
    present,
    read_object,
    read_settings,
    scope_of,
)

if TYPE_CHECKING:
    from openmemory.service.search import Found, Match


def query(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The question.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many memories at most.")] = 5,
    session: SessionOption = None,
    sector: SectorsOption = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="With all of these tags.")] = None,
    any_tag: Annotated[list[str] | None, typer.Option("--any-tag", metavar="TAG", help="With one of these.")] = None,
    metadata: MetadataOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="Leave out what scores less.")] = None,
    include_shared: Annotated[
        bool, typer.Option("--include-shared", help="With --user: memories of no user too.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show the parts of each score, and the plan.")] = False,
    user: UserOption = None,
    project: ProjectOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the memories that answer a question, best first."""
    if not text.strip():
        raise typer.BadParameter("the question is empty: ask something", param_hint="text")
    fields = present(
        query=text,
        k=k,
        session_id=session,
        sectors=sector,
        tags=tag,
        tags_any=any_tag,
        metadata=read_object(metadata),
        since=since,
        until=until,
        min_score=min_score,
        include_shared=include_shared,
        explain=explain,
    )
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant, user, project)
    from openmemory.cli.contract import read_asked
    from openmemory.cli.printing import print_json
    from openmemory.cli.session import note_unknown
    from openmemory.cli.session import session as session_of
    from openmemory.server import encoding

    asked = read_asked(fields)
    with session_of(settings) as opened:
        found = opened.run(opened.services.search.find(scope, asked))
        if not found.matches:
            note_unknown(opened, scope)
    if as_json:
        print_json(encoding.found(text, found))
    else:
        _show(found, scope.tenant)


def _show(found: "Found", tenant: str) -> None:
    from openmemory.cli.printing import console, note, print_indented

    if not found.matches:
        note(f"nothing in tenant {tenant} answers that")
    for place, match in enumerate(found.matches, 1):
        _show_match(place, match)
    if found.trace is not None:
        visible, reranked = found.trace.visible, found.trace.reranked
        console().print(f"{found.trace.path}: {visible:,} rows read, {reranked:,} ranked again")
        for line in found.trace.plan:
            print_indented(line, spaces=2, style="dim")


def _show_match(place: int, match: "Match") -> None:
    from openmemory.cli.printing import bar, console, print_indented, who_and_when

    memory = match.memory
    heading = f"{place:>2} {bar(match.score)} {match.score:.2f}"
    shown = console()
    shown.print(heading, style="bold", end="")
    shown.print(f"  {memory.primary_sector}", style="dim")
    print_indented(memory.content)
    print_indented(who_and_when(memory), style="dim")
    print_indented(str(memory.id), style="dim")
    if parts := match.explanation:
        boosts = "".join(f" {value:+.2f} {name}" for name, value in parts.boosts.items() if round(value, 2))
        print_indented(
            f"{parts.relevance:.2f} = {parts.lexical:.2f} words + {parts.dense:.2f} sense"
            f" + {parts.context_dense:.2f} context{boosts}",
            style="dim",
        )
    shown.print()
