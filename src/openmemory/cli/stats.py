"""`openmemory stats`: how much a tenant has."""

from typing import TYPE_CHECKING

import typer

from openmemory.cli.options import ConfigOption, JsonOption, TenantOption, read_settings, scope_of

if TYPE_CHECKING:
    from openmemory.core.memory import JsonObject


def stats(
    context: typer.Context, tenant: TenantOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Count a tenant's memories, users, sessions, projects and sectors, and their size."""
    settings = read_settings(context, config)
    scope = scope_of(settings, tenant)
    from openmemory.cli.printing import print_json
    from openmemory.cli.session import note_unknown, session

    with session(settings) as opened:
        memories = opened.services.memories
        totals = opened.run(memories.totals(scope))
        sectors = opened.run(memories.sector_counts(scope))
        sizes = opened.run(opened.census.sizes(scope))
        if not totals.memories:
            note_unknown(opened, scope)
    found: JsonObject = {
        "tenant": scope.tenant,
        "memories": totals.memories,
        "users": totals.users,
        "sessions": totals.sessions,
        "projects": totals.projects,
        "earliest": totals.earliest.isoformat() if totals.earliest else None,
        "latest": totals.latest.isoformat() if totals.latest else None,
        "sectors": {one.sector: {"count": one.count, "avg_salience": round(one.avg_salience, 4)} for one in sectors},
        "content_bytes": sizes.content_bytes,
        "search_bytes": sizes.search_bytes,
    }
    if as_json:
        print_json(found)
    else:
        _show(found, {one.sector: one.count for one in sectors}, sizes.content_bytes, sizes.search_bytes)


def _show(found: "JsonObject", sectors: dict[str, int], content_bytes: int, search_bytes: int) -> None:
    from openmemory.cli.printing import bar, print_facts, size

    most = max(sectors.values(), default=1)
    plain = ("tenant", "memories", "users", "sessions", "projects")
    print_facts(
        [
            *((name, f"{found[name]:,}" if isinstance(found[name], int) else str(found[name])) for name in plain),
            ("from", str(found["earliest"] or "")[:10]),
            ("to", str(found["latest"] or "")[:10]),
            *((sector, f"{bar(count / most)} {count:,}") for sector, count in sectors.items()),
            ("texts", size(content_bytes)),
            ("search", f"{size(search_bytes)} of vectors and terms"),
        ]
    )
