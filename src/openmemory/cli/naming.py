"""Read the tables' names from the settings alone, without an embedder, for commands on any database."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openmemory.postgres.shared_indexes import IndexChoice
    from openmemory.postgres.statements import Names
    from openmemory.settings import Settings


def names_of(settings: "Settings") -> "Names":
    """Return the names of the tables; the dimension is that of OM_VEC_DIM, or means nothing."""
    from openmemory.postgres.statements import Names

    database, vectors = settings.database, settings.vectors
    return Names(
        schema=database.schema_name,
        memories=database.table,
        vectors=database.vector_table,
        app_role=database.app_role,
        vector_type=vectors.type,
        distance=vectors.distance,
        **({"dimension": vectors.dim} if vectors.dim else {}),
    )


def index_choice(settings: "Settings") -> "IndexChoice":
    """Return which indexes over all tenants the settings ask for."""
    from openmemory.postgres.shared_indexes import IndexChoice

    vectors = settings.vectors
    return IndexChoice(vectors.index_type, vectors.hnsw_m, vectors.hnsw_ef_construction, vectors.ivfflat_lists)
