"""What turns texts into vectors: one protocol and its implementations."""

from openmemory.adapters.embedders.hashing import HashEmbedder
from openmemory.adapters.embedders.none import NoEmbedder
from openmemory.adapters.embedders.openai import OpenAIEmbedder, asked_dimension
from openmemory.adapters.embedders.protocol import Embedder, TextsRefused, Vectors
from openmemory.adapters.embedders.static import StaticEmbedder

__all__ = [
    "Embedder",
    "HashEmbedder",
    "NoEmbedder",
    "OpenAIEmbedder",
    "StaticEmbedder",
    "TextsRefused",
    "Vectors",
    "asked_dimension",
]
