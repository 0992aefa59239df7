"""`openmemory migrate status`: what is applied, what is pending, and how an upgrade stands."""

from collections.abc import Mapping

import typer

from openmemory.cli.migrate.database import ASKED, Reached, reached
from openmemory.cli.options import ConfigOption, JsonOption, read_settings


def status(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what is applied, what is pending, and how an upgrade stands."""
    from openmemory.cli.printing import console, print_json, warn

    asked = context.meta.get(ASKED)
    with reached(read_settings(context, config)) as found:
        applied = [entry.name for entry in found.status.applied]
        pending = [migration.name for migration in found.status.pending]
        upgrade = _upgrade_status(found) if found.status.is_foreign or found.old.recorded else {}
        if as_json or (asked and asked.as_json):
            print_json({"applied": applied, "pending": pending, "is_foreign": found.status.is_foreign, **upgrade})
            return
        if found.status.is_foreign:
            warn(
                f"schema {found.old.names.schema} holds tables of an older OpenMemory; `openmemory migrate` moves them"
            )
        for word, names in (("applied", applied), ("pending", pending)):
            for name in names:
                console().print(f"{word}  {name}", overflow="fold")
        if upgrade:
            _print_upgrade(found, upgrade)


def _upgrade_status(found: Reached) -> dict[str, object]:
    from dataclasses import asdict

    from openmemory.postgres.upgrade import look, standing

    owner, names = found.old.logins.owner, found.old.names
    seen = look.look(owner, names) if found.status.is_foreign else None
    return {
        "shape": seen.shape if seen else "lifted",
        "upgrade": dict(found.old.recorded),
        "parts": standing.parts_done(owner, names, found.old.recorded) if seen and found.is_half_done else {},
        "model": None if found.is_half_done or seen else standing.made_by(owner, names),
        "set_aside": [asdict(one) for one in standing.aside(owner, names)],
        "kept_bytes": standing.kept_bytes(owner, names),
    }


def _print_upgrade(found: Reached, said: Mapping[str, object]) -> None:
    from openmemory.cli.printing import print_facts, size
    from openmemory.cli.upgrade.report import print_aside
    from openmemory.postgres.upgrade import standing

    recorded, kept, parts = found.old.recorded, said["kept_bytes"], said["parts"]
    progress = ", ".join(f"{what} {part:.0%}" for what, part in parts.items()) if isinstance(parts, dict) else ""
    held = size(sum(kept.values())) if isinstance(kept, dict) and kept else ""
    print_facts(
        {
            "shape": str(said["shape"]),
            "upgrade": ("in its first step" if "step" not in recorded else f"step {recorded['step']}")
            if recorded
            else "not begun",
            "read": progress,
            "tenant": ("each user; else " if recorded.get("tenant_from") else "") + recorded.get("tenant", ""),
            "old vectors": f"{recorded['dimension']} dimensions" if "dimension" in recorded else "",
            "vectors now": str(said["model"] or ""),
            "old tables": f"kept, {held}; `openmemory migrate --drop-bytea` frees that" if held else "",
        }
    )
    print_aside(standing.aside(found.old.logins.owner, found.old.names))
