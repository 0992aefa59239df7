"""Step 002 from Python: old rows into the new tables, so many heap blocks a transaction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import Connection

from openmemory.core.text import fingerprint
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress

OnProgress = Callable[[Progress], None]

STEP = "002_add_tenant_id"


@dataclass(frozen=True, slots=True)
class Blocks:
    """A range of heap blocks of an old table, the end excluded, and the rows that come before its end, about."""

    first: int
    end: int
    rows_done: int


def lift_rows(connection: Connection, layout: Layout, on_progress: OnProgress) -> None:
    """Fill memories, waypoints, users and facts from where the record says, and record how far."""
    total = count_rows(connection, layout, "memories")
    for blocks in block_ranges(connection, layout, "memories", total):
        on_progress(Progress(STEP, "memories", blocks.rows_done, total))
        _lift_memories(connection, layout, blocks)
    total = count_rows(connection, layout, "waypoints")
    for blocks in block_ranges(connection, layout, "waypoints", total):
        on_progress(Progress(STEP, "waypoints", blocks.rows_done, total))
        with connection.transaction():
            query = layout.render_with_params("SELECT {staging}.lift_waypoints(%s, %s)")
            connection.execute(query, [blocks.first, blocks.end])
            record.write(connection, layout, {"waypoints_block": blocks.end})
    for what in ("users", "facts"):
        on_progress(Progress(STEP, what, 0, 0))
        connection.execute(layout.render(f"SELECT {{staging}}.lift_{what}()").encode())


def count_rows(connection: Connection, layout: Layout, what: str) -> int:
    """Return how many rows an old table has."""
    row = connection.execute(layout.render(f"SELECT count(*) FROM {{old_{what}}}").encode()).fetchone()
    return int(row[0]) if row else 0


def block_ranges(connection: Connection, layout: Layout, what: str, total: int) -> Iterator[Blocks]:
    """Yield the heap blocks of an old table that are not recorded yet, as many at once as hold a batch of rows.

    Each is recorded by whoever is given it. Where the table was rewritten meanwhile, it begins anew.
    """
    query = layout.render(
        f"SELECT {{staging}}.resume_at('{what}', old),"
        " coalesce(pg_relation_size(old), 0) / current_setting('block_size')::bigint"
        f" FROM to_regclass({{old_{what}_text}}) AS old"
    ).encode()
    while True:
        row = connection.execute(query).fetchone()
        first, blocks = (int(row[0]), int(row[1])) if row else (0, 0)
        if first >= blocks:
            return
        step = max(1, layout.plan.batch_size * blocks // max(1, total))
        yield Blocks(first, first + step, min(total, total * first // blocks))


def _lift_memories(connection: Connection, layout: Layout, blocks: Blocks) -> None:
    query = (
        "SELECT id, content, {staging}.as_name(user_id), {staging}.as_name(project_id) FROM {old_memories}"
        f" WHERE place >= '({blocks.first},0)'::tid AND place < '({blocks.end},0)'::tid"
    )
    ids, fingerprints = [], []
    with connection.transaction():
        for id_, content, user, project in connection.cursor().stream(layout.render(query).encode()):
            ids.append(id_)
            fingerprints.append(fingerprint(content, user=user, project=project))
        lift = layout.render_with_params("SELECT {staging}.lift_memories(%s, %s, %s::text[], %s::uuid[])")
        connection.execute(lift, [blocks.first, blocks.end, ids, fingerprints])
        record.write(connection, layout, {"memories_block": blocks.end})
