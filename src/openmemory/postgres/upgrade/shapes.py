"""The shapes that upstream left its tables in."""

from collections.abc import Mapping

from openmemory.postgres.upgrade import sources
from openmemory.postgres.upgrade.places import Columns

_DIED = "upstream's own migration died half way"


def shape_of(columns: Mapping[str, Columns]) -> str:
    """Return which of the shapes that upstream left this is, worked out from columns alone."""
    memories, vectors = columns["memories"], columns["vectors"]
    facts = ", with temporal facts" if columns["facts"] else ""
    missing = [what for what in ("memories", "vectors") if not columns[what]]
    if missing:
        return f"incomplete: no table of {' and '.join(missing)}{facts}"
    return _kind_of(memories, vectors) + facts


def _kind_of(memories: Columns, vectors: Columns) -> str:
    kind = sources.vector_source(vectors)
    where = "v" if "v" in vectors else "embedding"
    known = (
        (kind == "vector", f"after upstream's own migration: {where} is {vectors.get(where)}"),
        (kind == "none", "without vectors: neither a column v nor one called embedding holds any"),
        ({"v", "embedding"} <= vectors.keys(), f"{_DIED}: read from embedding only where v is null"),
        ("tenant_id" in {*memories, *vectors}, "with tenants, before pgvector: vectors as bytes"),
        ("user_id" not in memories, f"OpenMemory 1.1: {len(memories)} columns of memories, no users"),
        ("user_id" not in vectors, "OpenMemory 1.2.0: vectors and waypoints without users"),
    )
    return next((said for is_so, said in known if is_so), "OpenMemory 1.2.1 to 1.3, before pgvector: vectors as bytes")
