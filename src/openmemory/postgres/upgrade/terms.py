"""The terms of texts whose vectors were converted with SQL alone, which cannot stem words."""

from collections.abc import Callable
from uuid import UUID

from psycopg import Connection

from openmemory.core import text
from openmemory.postgres.adaptation import sparsevec_text
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Progress
from openmemory.postgres.upgrade.rows import count_rows
from openmemory.postgres.vectors import term_cap, traits

PENDING = "pending"
STEP = "003_convert_vectors_to_pgvector"

_BATCH = 1_000
_NEXT = (
    "SELECT tenant_id, id, content FROM {memories} WHERE (tenant_id, id) > (%s, %s::uuid)"
    " ORDER BY tenant_id, id LIMIT %s"
)
_FILL = (
    "UPDATE {vectors} v SET terms = g.terms::sparsevec, traits = g.traits"
    " FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::int4[]) AS g (tenant_id, id, terms, traits)"
    " WHERE v.tenant_id = g.tenant_id AND v.id = g.id"
)


def fill_terms(connection: Connection, layout: Layout, on_progress: Callable[[Progress], None]) -> None:
    """Give the search rows their terms if they have none, from the memory that the record names."""
    recorded = record.read(connection, layout.names)
    if recorded.get("terms") != PENDING:
        return
    connection.execute(layout.block("004_update_primary_keys", "vectors_key").encode())
    connection.execute(layout.render("ANALYZE {vectors}").encode())
    tenant, last = recorded.get("terms_tenant", ""), UUID(recorded.get("terms_id", str(UUID(int=0))))
    cap, total, done = term_cap(layout.plan.dimension), count_rows(connection, layout, "memories"), 0
    while True:
        on_progress(Progress(STEP, "terms", done, total))
        rows = connection.execute(layout.render_with_params(_NEXT), [tenant, last, _BATCH]).fetchall()
        if not rows:
            break
        found = [text.term_vector(content, cap) for _, _, content in rows]
        marks = [traits(terms, text.marks(row[2])) for terms, row in zip(found, rows, strict=True)]
        tenant, last, done = rows[-1][0], rows[-1][1], done + len(rows)
        with connection.transaction():
            tenants, ids = [row[0] for row in rows], [row[1] for row in rows]
            given = [tenants, ids, [sparsevec_text(terms) for terms in found], marks]
            connection.execute(layout.render_with_params(_FILL), given)
            record.write(connection, layout, {"terms_tenant": tenant, "terms_id": last})
    record.write(connection, layout, {"terms": record.DONE})
