"""The embedder that the settings choose, and the tables that its vectors fit."""

import asyncio
from collections.abc import Callable

from openmemory.adapters.embedders import (
    Embedder,
    HashEmbedder,
    NoEmbedder,
    OpenAIEmbedder,
    StaticEmbedder,
    asked_dimension,
)
from openmemory.errors import ConfigurationError
from openmemory.postgres.statements import Names
from openmemory.settings import Settings


def create_embedder(
    settings: Settings, on_event: Callable[[str], None] = lambda _: None, *, patience_s: float = 30
) -> Embedder:
    """Return the embedder that the settings choose; raises EmbedderUnavailable where its server is asked in vain."""
    chosen, dimension = settings.embeddings, settings.vectors.dim
    match chosen.embedder:
        case "static":
            return StaticEmbedder()
        case "hash":
            return HashEmbedder(dimension or 256)
        case "none":
            return NoEmbedder()
        case "openai":
            key = chosen.openai_api_key.get_secret_value() if chosen.openai_api_key else None
            address, model = chosen.base_url, chosen.model or ""
            if dimension is None:
                on_event("asking the embedding server how long its vectors are")
                dimension = asyncio.run(asked_dimension(address, key, model))
            return OpenAIEmbedder(address, key, model, dimension, patience_s=patience_s)


def names(settings: Settings, embedder: Embedder) -> Names:
    """Return the tables' names and the vectors' size; raises ConfigurationError if the size is another's."""
    wanted, own = settings.vectors.dim, embedder.dimension
    if wanted is not None and own is not None and wanted != own:
        raise ConfigurationError(
            f"OM_VEC_DIM={wanted}, but the embedder {embedder.name} makes vectors of {own}; leave OM_VEC_DIM out"
        )
    dimension = wanted or own
    if dimension is None:
        raise ConfigurationError(
            "OM_EMBEDDINGS=none needs OM_VEC_DIM, the number of dimensions of the vectors that requests bring"
        )
    return Names(
        schema=settings.database.schema_name,
        memories=settings.database.table,
        vectors=settings.database.vector_table,
        app_role=settings.database.app_role,
        vector_type=settings.vectors.type,
        dimension=dimension,
        distance=settings.vectors.distance,
    )
