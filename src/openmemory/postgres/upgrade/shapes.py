"""The shapes that upstream left its tables in."""

from collections.abc import Mapping

from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.sources import Columns


def shape_of(columns: Mapping[str, Columns]) -> str:
    """Return which of the shapes that upstream left this is, worked out from columns alone."""
    memories, vectors = columns["memories"], columns["vectors"]
    facts = ", with temporal facts" if columns["facts"] else ""
    missing = [what for what in ("memories", "vectors") if not columns[what]]
    if missing:
        return f"incomplete: no table of {' and '.join(missing)}{facts}"
    kind = sources.vector_source(vectors)
    touched = "tenant_id" in memories or "tenant_id" in vectors or "embedding" in vectors
    if kind == "vector":
        where = "v" if "v" in vectors else "embedding"
        return f"after upstream's own migration: {where} is {vectors[where]}{facts}"
    if touched:
        return f"upstream's own migration died half way: read from the bytes in v, never from embedding{facts}"
    if "user_id" not in memories:
        return f"OpenMemory 1.1: {len(memories)} columns of memories, no users{facts}"
    if "user_id" not in vectors:
        return f"OpenMemory 1.2.0: vectors and waypoints without users{facts}"
    return f"OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes{facts}"
