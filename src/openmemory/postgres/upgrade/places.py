"""Which columns of old tables have a place in the new ones, and which go elsewhere."""

from collections.abc import Mapping

Columns = Mapping[str, str]
"""The types of a table's columns, by name."""

_MEMORIES = {
    "tenant_id": "text",
    "user_id": "text",
    "project_id": "text",
    "content": "text",
    "primary_sector": "text",
    "tags": "json",
    "meta": "json",
    "created_at": "ms",
    "updated_at": "ms",
    "last_seen_at": "ms",
    "salience": "float8",
    "decay_lambda": "float8",
    "version": "int4",
    "feedback_score": "float8",
}
_USERS = {
    "tenant_id": "text",
    "user_id": "text",
    "summary": "text",
    "reflection_count": "int4",
    "created_at": "ms",
    "updated_at": "ms",
}
# A vector's or a link's tenant and project are its memory's; where they differ that is noted.
_VECTORS = {"tenant_id": "text", "project_id": "text", "sector": "text", "user_id": "text", "dim": "int4"}
_WAYPOINTS = {
    "tenant_id": "text",
    "user_id": "text",
    "project_id": "text",
    "weight": "float8",
    "created_at": "ms",
    "updated_at": "ms",
}
_FACTS = {
    "tenant_id": "text",
    "id": "text",
    "user_id": "text",
    "project_id": "text",
    "subject": "text",
    "predicate": "text",
    "object": "text",
    "valid_from": "ms",
    "valid_to": "ms",
    "confidence": "float8",
    "last_updated": "ms",
    "metadata": "json",
}


# Read by their own expressions.
_READ_APART = {
    "memories": {"id"},
    "vectors": {"id", "v", "embedding"},
    "waypoints": {"src_id", "dst_id"},
    "users": set[str](),
    "facts": set[str](),
}
MAPPED = {"memories": _MEMORIES, "vectors": _VECTORS, "waypoints": _WAYPOINTS, "users": _USERS, "facts": _FACTS}
# Upstream made these of the rest, and nothing here reads them.
DERIVED = {"segment", "simhash", "mean_dim", "mean_vec", "compressed_vec"}
# Their new rows have metadata, where a column without a place goes.
NOTED = {"memories", "facts"}


def placed(what: str) -> set[str]:
    """Return the columns that have a place in the new table."""
    return MAPPED[what].keys() | _READ_APART[what]


def unmapped(what: str, columns: Columns) -> tuple[str, ...]:
    """Return the columns of an old table that have no place of their own in the new one."""
    return tuple(sorted(columns.keys() - placed(what)))


def noted(what: str, columns: Columns) -> tuple[str, ...]:
    """Return those of the columns without a place that go into a row's metadata: an owner's own."""
    return tuple(name for name in unmapped(what, columns) if what in NOTED and name not in DERIVED)
