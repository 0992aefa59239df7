"""`openmemory list`, `get` and `delete`: memories by their place and by their id."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from openmemory.cli.options import (
    ConfigOption,
    JsonOption,
    ProjectOption,
    SectorOption,
    SessionOption,
    TenantOption,
    UserOption,
    YesOption,
    read_settings,
    scope_of,
)
from openmemory.core.sectors import Sector

if TYPE_CHECKING:
    from openmemory.cli.session import Session
    from openmemory.core.memory import Memory
    from openmemory.core.scope import Scope

_SHOWN_BEFORE_DELETING = 10


def listing(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    session: SessionOption = None,
    sector: SectorOption = None,
    user: UserOption = None,
    project: ProjectOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List memories, the newest first."""
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant, user, project)
    from openmemory.cli.printing import note, print_json
    from openmemory.cli.session import note_unknown
    from openmemory.cli.session import session as session_of
    from openmemory.core.memory import Filters
    from openmemory.server import encoding

    filters = Filters(session_id=session, sectors=Sector(sector).bit if sector else None)
    with session_of(settings) as opened:
        page = opened.run(
            opened.services.memories.listing(scope, limit=limit, before=encoding.place(cursor), filters=filters)
        )
        now = opened.services.clock()
        if not page.items:
            note_unknown(opened, scope)
    if as_json:
        print_json(encoding.page(page, now))
        return
    for memory in page.items:
        _show_line(memory)
    if not page.items:
        note(f"tenant {scope.tenant} has no {'more' if cursor else 'such'} memories")
    if page.next_before is not None:
        note(f"there are more: --cursor {page.next_before}")


def get(
    context: typer.Context,
    id: Annotated[UUID, typer.Argument(metavar="ID", help="The memory's id.")],
    user: UserOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a memory with everything that is known of it."""
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant, user)
    from openmemory.cli.printing import print_json
    from openmemory.cli.session import session as session_of
    from openmemory.server import encoding

    with session_of(settings) as opened:
        memory = opened.run(opened.services.memories.get(scope, id))
        answer = encoding.memory(memory, opened.services.clock())
    if as_json:
        print_json(answer)
    else:
        _show_whole(memory, answer.salience)


def delete(
    context: typer.Context,
    ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...", help="Ids of memories.")] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Without an id: everything of this user. With one: only if its.")
    ] = None,
    yes: YesOption = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget memories for good: by id, or all of a user. Asks first."""
    if not ids and user is None:
        raise typer.BadParameter("say which: ids, or --user for everything of a user")
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant, user)
    from openmemory.cli.printing import console, count_of, print_json
    from openmemory.cli.session import session as session_of

    with session_of(settings) as opened:
        if ids:
            deleted = _delete_each(opened, scope, list(dict.fromkeys(ids)), yes=yes)
        else:
            deleted = _delete_user(opened, scope, yes=yes)
    if as_json:
        print_json({"deleted": deleted})
    else:
        console().print(f"{count_of(deleted, 'memory')} deleted")


def _delete_each(opened: "Session", scope: "Scope", ids: list[UUID], *, yes: bool) -> int:
    """Delete memories that are all there, named before; return how many."""
    from openmemory.cli.printing import agree, console, count_of

    memories = opened.services.memories
    found = [opened.run(memories.get(scope, one)) for one in ids]
    if not yes:
        for memory in found[:_SHOWN_BEFORE_DELETING]:
            _show_line(memory, stderr=True)
        if len(found) > _SHOWN_BEFORE_DELETING:
            console(stderr=True).print(f"and {len(found) - _SHOWN_BEFORE_DELETING:,} more")
    agree(f"Delete {count_of(len(found), 'memory')} of tenant {scope.tenant} for good?", yes=yes)
    for memory in found:
        opened.run(memories.delete(scope, memory.id))
    return len(found)


def _delete_user(opened: "Session", scope: "Scope", *, yes: bool) -> int:
    from openmemory.cli.printing import agree, count_of

    if not yes:
        count = opened.run(opened.census.count(scope))
        question = f"Delete user {scope.user} of tenant {scope.tenant} with {count_of(count, 'memory')} for good?"
        agree(question, yes=False)
    return opened.run(opened.services.memories.delete_user(scope, scope.user or ""))


def _show_line(memory: "Memory", *, stderr: bool = False) -> None:
    """Show a memory on two lines: its id and day, and the beginning of what it says."""
    from openmemory.cli.printing import console, one_line

    shown = console(stderr=stderr)
    head = f"{memory.id}  {memory.occurred_at:%Y-%m-%d}  {memory.primary_sector}"
    # Words only go to the next line where the terminal is narrow: an id in two pieces could not be copied.
    shown.print(head, style="dim", soft_wrap=shown.width < len(str(memory.id)))
    said = f"{memory.speaker}: {memory.content}" if memory.speaker else memory.content
    shown.print(f"  {one_line(said[:1000])}", overflow="ellipsis", no_wrap=True)


def _show_whole(memory: "Memory", salience: float) -> None:
    import json

    from openmemory.cli.printing import print_facts, print_indented
    from openmemory.core.sectors import unmask

    print_indented(memory.content, spaces=0)
    others = [sector.value for sector in unmask(memory.sectors) if sector.value != memory.primary_sector]
    print_facts(
        [
            ("", ""),
            ("id", str(memory.id)),
            ("speaker", memory.speaker or ""),
            ("occurred", f"{memory.occurred_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("session", memory.session_id or ""),
            ("user", memory.user_id or ""),
            ("project", memory.project_id or ""),
            ("sectors", ", ".join([memory.primary_sector, *others])),
            ("tags", ", ".join(memory.tags)),
            ("metadata", json.dumps(memory.metadata, ensure_ascii=False) if memory.metadata else ""),
            ("salience", f"{salience:.2f}, fading by {memory.decay_rate:g} a day"),
            ("created", f"{memory.created_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("version", str(memory.version)),
        ]
    )
