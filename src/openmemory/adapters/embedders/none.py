"""No embedder: vectors come with the requests."""

from collections.abc import Sequence

from openmemory.adapters.embedders.protocol import Vectors
from openmemory.errors import Unprocessable


class NoEmbedder:
    """Refuses to embed: the operator chose that clients bring their vectors."""

    name = "none"
    dimension = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Raise Unprocessable, whatever the texts."""
        raise Unprocessable("OM_EMBEDDINGS=none: send `embedding` with the request")
