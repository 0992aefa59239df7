"""What a database records of itself, and whether the settings go with it."""

from collections.abc import Mapping

from openmemory.adapters.embedders import Embedder, NoEmbedder
from openmemory.errors import ConfigurationError
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import UNKNOWN_MODEL


def facts_of(tables: Names, embedder: Embedder) -> dict[str, str]:
    """Return what is recorded of a database whose vectors `embedder` makes."""
    return {
        "embedding_model": embedder.name,
        "embedding_dimension": str(tables.dimension),
        "embedding_type": tables.vector_type,
        "memories_table": tables.memories,
        "vectors_table": tables.vectors,
    }


def check_facts(recorded: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise ConfigurationError if the settings name other tables or another embedder than the database has."""
    different = {name for name, value in wanted.items() if recorded.get(name, value) != value}
    if different & {"memories_table", "vectors_table"}:
        raise ConfigurationError(
            f"this schema was made with OM_PG_TABLE={recorded['memories_table']} and"
            f" OM_VECTOR_TABLE={recorded['vectors_table']}; set them back, or choose another OM_PG_SCHEMA"
        )
    if wanted["embedding_model"] == NoEmbedder.name:
        different -= {"embedding_model"}  # requests bring the vectors, and whoever sends them knows the model
    if different:
        there, here = recorded.get("embedding_model"), wanted["embedding_model"]
        raise ConfigurationError(
            f"the vectors in this database were made by {there} ({recorded.get('embedding_dimension')} dimensions,"
            f" {recorded.get('embedding_type')}), but the settings choose {here} ({wanted['embedding_dimension']},"
            f" {wanted['embedding_type']}). {_ways_out(recorded)}"
        )


def _ways_out(recorded: Mapping[str, str]) -> str:
    name = ""
    if recorded.get("embedding_model") == UNKNOWN_MODEL:
        name = "Say which model it was (`openmemory migrate --embedding-model NAME`, such as openai:NAME), then set"
    return (
        f"{name or 'Set'} OM_EMBEDDINGS, OM_EMBED_MODEL, OM_VEC_DIM and OM_VEC_TYPE back to it; or let requests bring"
        f" their vectors (OM_EMBEDDINGS=none OM_VEC_DIM={recorded.get('embedding_dimension')}); or move every memory to"
        " the model of the settings with `openmemory reembed`"
    )
