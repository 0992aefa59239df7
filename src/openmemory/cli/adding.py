"""`openmemory add`: one memory, or a file of them."""

import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from openmemory.cli.options import (
    ConfigOption,
    JsonOption,
    MetadataOption,
    OccurredOption,
    ProjectOption,
    SectorOption,
    SessionOption,
    TenantOption,
    UserOption,
    present,
    read_object,
    read_settings,
    scope_of,
)

if TYPE_CHECKING:
    from openmemory.core.scope import Scope
    from openmemory.settings import Settings


def add(
    context: typer.Context,
    content: Annotated[
        str | None, typer.Argument(help="What to remember; - or nothing: what standard input says.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="JSON lines, each with the fields of POST /memory/add; - is standard input. Other options hold for"
            " lines that do not say. Running it again stores nothing twice.",
        ),
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="With --file: leave bad lines out and go on.")] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; may be repeated.")] = None,
    session: SessionOption = None,
    speaker: Annotated[str | None, typer.Option(metavar="NAME", help="Who said it.")] = None,
    occurred_at: OccurredOption = None,
    sector: SectorOption = None,
    metadata: MetadataOption = None,
    id: Annotated[UUID | None, typer.Option("--id", metavar="UUID", help="Your own id.")] = None,
    user: UserOption = None,
    project: ProjectOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remember something: CONTENT, standard input, or the lines of a file.

    What the tenant knows already is not stored again.
    """
    if file is not None and (content is not None or id is not None):
        raise typer.BadParameter("--file brings its own contents and ids; leave out CONTENT and --id")
    if partial and file is None:
        raise typer.BadParameter("--partial goes with --file")
    fields = present(
        tags=tag,
        session_id=session,
        speaker=speaker,
        occurred_at=occurred_at,
        sector=sector,
        metadata=read_object(metadata),
        id=id,
        user_id=user,
        project_id=project,
    )
    if file is None:
        fields["content"] = _content(content)
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant)
    if file is None:
        _add_one(settings, scope, fields, as_json=as_json)
    else:
        _add_file(settings, scope, file, fields, partial=partial, as_json=as_json)


def _content(argument: str | None) -> str:
    if argument is not None and argument != "-":
        return argument
    if argument is None and sys.stdin.isatty():
        raise typer.BadParameter("say what to remember: CONTENT, --file, or a pipe to standard input")
    try:
        content = sys.stdin.buffer.read().decode().strip("\r\n")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from error
    if not content.strip():
        raise typer.BadParameter("standard input is empty: there is nothing to remember")
    return content


def _add_one(settings: "Settings", scope: "Scope", fields: dict[str, object], *, as_json: bool) -> None:
    from openmemory.cli.contract import read_told
    from openmemory.cli.printing import console, print_json
    from openmemory.cli.session import session
    from openmemory.server import encoding

    told = read_told(fields)
    with session(settings) as opened:
        opened.run(opened.services.tenants.admit(scope.tenant))
        result = opened.run(opened.services.memories.add(scope, told))
    if as_json:
        print_json(encoding.added(result))
        return
    became = "known already" if result.deduplicated else "remembered"
    console().print(f"{became}: {result.id} ({result.primary_sector})", soft_wrap=True)


def _add_file(
    settings: "Settings", scope: "Scope", file: str, fields: dict[str, object], *, partial: bool, as_json: bool
) -> None:
    from openmemory.cli.intake import take_in
    from openmemory.cli.printing import complain, console, count_of, print_json
    from openmemory.cli.session import session

    with session(settings) as opened:
        opened.run(opened.services.tenants.admit(scope.tenant))
        done = take_in(opened, scope, file, fields, partial=partial)
    if as_json:
        print_json(done.answer())
    else:
        console().print(f"{count_of(done.added, 'memory')} remembered, {done.deduplicated:,} known already")
    if done.refused:
        if not partial:
            complain(
                f"{file}: stopped at the line above; what came before is kept. Mend it and run this again (nothing is"
                " stored twice), or leave bad lines out with --partial"
            )
        raise typer.Exit(1)
