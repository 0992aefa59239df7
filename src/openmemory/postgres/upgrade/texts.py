"""What SQL alone cannot make of texts, after steps that psql ran: it can neither stem words nor fold characters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Connection

from openmemory.core import text
from openmemory.postgres.adaptation import sparsevec_text
from openmemory.postgres.asking import asked
from openmemory.postgres.statements import blocks, statement
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress
from openmemory.postgres.upgrade.rows import count_rows
from openmemory.postgres.vectors import term_cap, traits

PENDING = "pending"

_FILE = "texts"
_BATCH, _BATCH_BYTES = 1_000, 4 << 20
_STEP_2, _STEP_3, _STEP_4 = "002_add_tenant_id", "003_convert_vectors_to_pgvector", "004_update_primary_keys"

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class _Memory:
    """A memory as far as its texts go."""

    tenant: str
    id: UUID
    content: str
    user: str | None
    project: str | None


_NEXT = statement("upgrade/texts.next", _Memory)


def fill_texts(connection: Connection, layout: Layout, on_progress: OnProgress) -> None:
    """Make what is recorded as pending: fingerprints of the memories, then terms of the search rows."""
    recorded = record.read(connection, layout.names)
    if PENDING in (recorded.get("fingerprints"), recorded.get("terms")):
        # An index of which a build was cut off would be taken for one that is there.
        connection.execute(layout.block("session", "broken").encode())
    if recorded.get("fingerprints") == PENDING:
        _Filling(connection, layout, _STEP_2, "fingerprints", on_progress).fingerprints()
    if recorded.get("terms") == PENDING:
        _Filling(connection, layout, _STEP_3, "terms", on_progress).terms()


@dataclass(frozen=True, slots=True)
class _Filling:
    """One of both, batch by batch; the record tells behind which memory it goes on."""

    connection: Connection
    layout: Layout
    step: str
    what: str
    on_progress: OnProgress

    def fingerprints(self) -> None:
        """Make them, and keep those of what is said twice apart as step 4 does, which may be over already."""
        for step, name in ((_STEP_4, "memories_key"), (_STEP_4, "memories_primary"), (_FILE, "apart")):
            self._execute(self.layout.block(step, name))
        for memories in self._batches():
            made = [text.fingerprint(one.content, user=one.user, project=one.project) for one in memories]
            self._fill(memories, made)
        for step, name in ((_STEP_4, "said_twice"), (_STEP_4, "said_once"), (_FILE, "once")):
            self._execute(self.layout.block(step, name))
        record.write(self.connection, self.layout, {self.what: record.DONE})

    def terms(self) -> None:
        """Make them, with the marks and the length of each text."""
        for name in ("vectors_key", "vectors_primary"):
            self._execute(self.layout.block(_STEP_4, name))
        self._execute(self.layout.render("ANALYZE {vectors}"))
        cap = term_cap(self.layout.plan.dimension)
        for memories in self._batches():
            made = [text.term_vector(one.content, cap) for one in memories]
            marks = [traits(terms, text.marks(one.content)) for terms, one in zip(made, memories, strict=True)]
            self._fill(memories, [sparsevec_text(terms) for terms in made], marks)
        record.write(self.connection, self.layout, {self.what: record.DONE})

    def _batches(self) -> Iterator[list[_Memory]]:
        """Yield the memories behind the one that is recorded; the caller fills and records each batch."""
        total, done = count_rows(self.connection, self.layout, "memories"), 0
        query = self.layout.render_with_params(_NEXT.template)
        while True:
            self.on_progress(Progress(self.step, self.what, done, total))
            recorded = record.read(self.connection, self.layout.names)
            tenant, id_ = recorded.get(f"{self.what}_tenant", ""), recorded.get(f"{self.what}_id", str(UUID(int=0)))
            behind = {"tenant": tenant, "id": id_}
            memories = asked(self.connection, _NEXT, query, **behind, most=_BATCH, most_bytes=_BATCH_BYTES)
            if not memories:
                return
            yield memories
            done += len(memories)

    def _fill(self, memories: Sequence[_Memory], *made: Sequence[object]) -> None:
        query = self.layout.render_with_params(blocks(f"upgrade/{_FILE}")[self.what])
        keys = [one.tenant for one in memories], [one.id for one in memories]
        last = memories[-1]
        with self.connection.transaction():
            self.connection.execute(query, [*keys, *map(list, made)])
            where = {f"{self.what}_tenant": last.tenant, f"{self.what}_id": last.id}
            record.write(self.connection, self.layout, where)

    def _execute(self, query: str) -> None:
        self.connection.execute(query.encode())
