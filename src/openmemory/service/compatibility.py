"""The facts that a database records of itself, and whether the settings match them."""

from collections.abc import Mapping

from openmemory.adapters.embedders import Embedder, HashEmbedder, NoEmbedder, StaticEmbedder
from openmemory.errors import ConfigurationError
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import SYNTHETIC_MODEL, UNKNOWN_MODEL


def facts_of(tables: Names, embedder: Embedder) -> dict[str, str]:
    """Return the facts to record of a database whose vectors `embedder` makes."""
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
            f" {wanted['embedding_type']}). {_ways_out(recorded, wanted)}"
        )


def _ways_out(recorded: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return what to do, with settings that can be followed word for word."""
    dimension, kind = recorded.get("embedding_dimension"), recorded.get("embedding_type")
    own_type = f" OM_VEC_TYPE={kind}" if kind != wanted["embedding_type"] else ""
    ways = (
        _way_back(recorded, own_type),
        f"let requests bring their vectors (OM_EMBEDDINGS=none OM_VEC_DIM={dimension}{own_type})",
        "move every memory to the model of the settings with `openmemory reembed`",
    )
    if recorded.get("embedding_model") == SYNTHETIC_MODEL:
        ways = ways[::-1]
    said = "; or ".join(way for way in ways if way)
    return said[0].upper() + said[1:]


def _way_back(recorded: Mapping[str, str], own_type: str) -> str:
    """Return how to choose the model that made the vectors, or "" if there was none."""
    name, dimension = recorded.get("embedding_model", UNKNOWN_MODEL), recorded.get("embedding_dimension")
    naming = "`openmemory migrate --embedding-model NAME`"
    provider, _, model = name.partition(":")
    if name == UNKNOWN_MODEL:
        return f"say which model it was ({naming}, such as openai:text-embedding-3-small), and this names its settings"
    if provider == "openai" and model:
        return f"set OM_EMBEDDINGS=openai OM_EMBED_MODEL={model} OM_VEC_DIM={dimension}{own_type} and the key"
    if (name, dimension) == (StaticEmbedder.name, str(StaticEmbedder.dimension)):
        return f"set OM_EMBEDDINGS=static{own_type} and leave OM_VEC_DIM out"
    if name == HashEmbedder.name:
        return f"set OM_EMBEDDINGS=hash OM_VEC_DIM={dimension}{own_type}"
    others = {NoEmbedder.name: "", SYNTHETIC_MODEL: f"if a model made the vectors, name it ({naming})"}
    if name in others:
        return others[name]
    return f"no setting makes such vectors; if an upgrade has recorded a wrong name, correct it ({naming})"
