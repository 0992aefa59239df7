"""Step 002 from Python: old rows into the new tables, so many heap blocks a transaction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import Connection

from openmemory.core.text import fingerprint
from openmemory.postgres.statements import statement
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress
from openmemory.postgres.upgrade.questions import Count, Questions

OnProgress = Callable[[Progress], None]

STEP = "002_add_tenant_id"


@dataclass(frozen=True, slots=True)
class Blocks:
    """A range of heap blocks of an old table, the end excluded, and the rows that come before its end, about."""

    first: int
    end: int
    rows_done: int


@dataclass(frozen=True, slots=True)
class _Unread:
    """The first heap block of an old table that is still to be read, and how many it has."""

    first: int
    blocks: int


@dataclass(frozen=True, slots=True)
class _Memory:
    """An old memory as far as its fingerprint goes."""

    id: str
    content: str
    user: str | None
    project: str | None


_COUNT = statement("upgrade/rows.count", Count)
_UNREAD = statement("upgrade/rows.unread", _Unread)
_MEMORIES = statement("upgrade/rows.memories", _Memory)


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
    return Questions(connection, layout).one(_COUNT, table=layout.render(f"{{old_{what}}}")).count


def block_ranges(connection: Connection, layout: Layout, what: str, total: int) -> Iterator[Blocks]:
    """Yield the heap blocks of an old table that are not recorded yet, as many at once as hold a batch of rows.

    Each is recorded by whoever is given it. Where the table was rewritten meanwhile, it begins anew.
    """
    asking, old_text = Questions(connection, layout), layout.render(f"{{old_{what}_text}}")
    while True:
        unread = asking.one(_UNREAD, what=Layout.literal(what), old_text=old_text)
        if unread.first >= unread.blocks:
            return
        step = max(1, layout.plan.batch_size * unread.blocks // max(1, total))
        yield Blocks(unread.first, unread.first + step, min(total, total * unread.first // unread.blocks))


def _lift_memories(connection: Connection, layout: Layout, blocks: Blocks) -> None:
    query = layout.render(_MEMORIES.template, {"first": str(blocks.first), "end": str(blocks.end)})
    ids, fingerprints = [], []
    with connection.transaction():
        for memory in connection.cursor(row_factory=_MEMORIES.rows).stream(query.encode()):
            ids.append(memory.id)
            fingerprints.append(fingerprint(memory.content, user=memory.user, project=memory.project))
        lift = layout.render_with_params("SELECT {staging}.lift_memories(%s, %s, %s::text[], %s::uuid[])")
        connection.execute(lift, [blocks.first, blocks.end, ids, fingerprints])
        record.write(connection, layout, {"memories_block": blocks.end})
