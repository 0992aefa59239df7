"""How many dimensions vectors may have."""

DIMENSION_MAX = 8_192
"""What a request may bring, and so what a server can serve."""

INDEXABLE_DIMENSIONS = {"vector": 2_000, "halfvec": 4_000}
"""What pgvector's approximate indexes take, by the column's type."""
