"""The steps as SQL for psql, for owners whose database is reached by nothing else."""

from collections.abc import Iterator, Mapping

from openmemory.postgres import migrate
from openmemory.postgres.direct import patient
from openmemory.postgres.shared_indexes import IndexChoice, statements
from openmemory.postgres.statements import Names, blocks
from openmemory.postgres.upgrade import record, sources
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.obstacles import refuse_obstacles
from openmemory.postgres.upgrade.plan import STEPS, Plan

_LOOPS = (STEPS[1], STEPS[2])
_GUARD_TABLES = ("memories", "vectors", "waypoints", "users", "facts")


def script(conninfo: Mapping[str, str], names: Names, plan: Plan, step: str, index: IndexChoice | None = None) -> str:
    """Return one step as a file for psql, with this database's names; reads, and changes nothing.

    005 wants the terms of the texts, which no SQL can make: `openmemory migrate` fills them and goes on from there.
    Raises ConfigurationError where `openmemory migrate` would not begin, or go on, either.
    """
    index = index or IndexChoice()
    with patient(conninfo) as connection:
        recorded = record.read(connection, names)
        layout = Layout(names, record.begun_with(recorded, plan))
        if "exchanged_at" not in recorded:
            refuse_obstacles(conninfo, layout.lifted, look(conninfo, names, layout.plan), index)
        views = sources.view_statements(connection, layout)
    work = _enable(layout, views) if step == STEPS[0] else _blocks(layout, step, index)
    return "\n\n".join((*_before(layout, step), *work, *_after(layout, step))) + "\n"


def guard(layout: Layout, what: str) -> str:
    """Return the SQL that has an old table refuse writes, where the table is there."""
    return layout.render(blocks("upgrade/guard")["guard"].replace("WHAT", what)).strip()


def _before(layout: Layout, step: str) -> Iterator[str]:
    yield f"-- {step}: psql --file=THIS\n\\set ON_ERROR_STOP on"
    yield _session(layout, "settings")
    yield _session(layout, "lock")
    yield _session(layout, "turn").replace("STEP", str(STEPS.index(step) + 1))
    yield "SELECT current_setting('openmemory.pending') AS pending \\gset\n\\if :pending"
    if step in STEPS[:3]:
        yield _session(layout, "here")
        yield _session(layout, "readable")
    yield _session(layout, "room")
    yield _session(layout, "broken")


def _after(layout: Layout, step: str) -> Iterator[str]:
    yield _record(layout, {"step": record.DONE if step == STEPS[-1] else f"{STEPS.index(step) + 1:03}"})
    yield f"\\else\n\\echo '{step} is done already'\n\\endif"
    yield _session(layout, "end")


def _session(layout: Layout, name: str) -> str:
    return layout.block("session", name).strip()


def _enable(layout: Layout, views: list[str]) -> Iterator[str]:
    for name in ("role", "extension", "record", "quarantine"):
        yield layout.block(STEPS[0], name).strip()
    yield _record(layout, record.decisions(layout))
    yield layout.render("CREATE SCHEMA IF NOT EXISTS {staging};")
    yield _session(layout, "path")
    yield layout.staging.render(blocks("migrate")["create"]).strip()
    for one in migrate.shipped():
        yield from _once(layout, one)
    for name in ("unkey", "move"):
        yield layout.block(STEPS[0], name).strip()
    # Whoever waits for a table keeps its writers waiting behind.
    yield layout.render("BEGIN;\nSET LOCAL lock_timeout = {lock_timeout};")
    yield from (guard(layout, what) for what in _GUARD_TABLES)
    yield "COMMIT;"
    yield from (f"{view};" for view in views)


def _once(layout: Layout, one: migrate.Migration) -> Iterator[str]:
    """Yield a migration as a transaction that is left out where it is recorded."""
    asked = f"SELECT count(*) = 0 AS wanted FROM {{migrations}} WHERE number = {one.number}"
    values = f"({one.number}, '{one.name}', '{one.checksum}')"
    yield layout.staging.render(asked) + " \\gset\n\\if :wanted"
    yield "BEGIN;"
    yield layout.staging.render(one.template).strip()
    yield layout.staging.render(f"INSERT INTO {{migrations}} (number, name, checksum) VALUES {values};")
    yield "COMMIT;\n\\endif"


def _blocks(layout: Layout, step: str, index: IndexChoice) -> Iterator[str]:
    yield _session(layout, "path")
    if step in _LOOPS:
        yield _session(layout, "functions")
    if step == STEPS[2]:
        yield layout.block(STEPS[1], "owners").strip()
    if step == STEPS[-1]:
        asked = "SELECT count(*) = 0 AS wanted FROM {upgrade} WHERE name = 'exchanged_at'"
        yield layout.render(asked) + " \\gset\n\\if :wanted"
    for name, text in layout.blocks(step).items():
        if name == "sound":
            yield from (f"{one};" for one in statements(layout.staging, index).values())
        yield text.strip()
    if step == STEPS[-1]:
        yield "\\endif"
        yield layout.lifted.render(blocks("grants")["app_role"]).strip()


def _record(layout: Layout, values: Mapping[str, object]) -> str:
    rows = ", ".join(f"({layout.literal(name)}, {layout.literal(str(value))})" for name, value in values.items())
    return (
        layout.render("INSERT INTO {upgrade} (name, value)\nVALUES ")
        + rows
        + ("\n    ON CONFLICT (name) DO UPDATE SET value = excluded.value;")
    )
