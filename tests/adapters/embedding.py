"""An embedder on a provider of the test's own, and what its failures may not say."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from openmemory.adapters.embedders import OpenAIEmbedder
from openmemory.errors import EmbedderUnavailable
from tests.adapters.provider import Answer, Provider, Texts, serving

KEY = "sk-very-secret"
TEXT = "my diary says something private"


@dataclass
class Naps:
    """A sleeper that only remembers."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        """Note the nap."""
        self.seconds.append(seconds)


@asynccontextmanager
async def embedding(
    *replies: Callable[[Texts], Answer] | None,
    dimension: int = 3,
    timeout_s: float = 5.0,
    patience_s: float = 30.0,
) -> AsyncIterator[tuple[OpenAIEmbedder, Provider, Naps]]:
    """Yield an embedder, the provider it asks, and its naps; without jitter each is as long as it may be."""
    async with serving(*replies) as provider:
        naps = Naps()
        embedder = OpenAIEmbedder(
            provider.url,
            KEY,
            "small",
            dimension,
            timeout_s=timeout_s,
            patience_s=patience_s,
            sleep=naps,
            jitter=lambda: 1.0,
        )
        yield embedder, provider, naps
        await embedder.aclose()


async def failure(embedder: OpenAIEmbedder) -> str:
    """Return the message of the failure to embed TEXT, having checked that it keeps secrets."""
    with pytest.raises(EmbedderUnavailable) as caught:
        await embedder.embed([TEXT])
    message = caught.value.detail
    assert KEY not in message
    assert TEXT not in message
    assert "127.0.0.1" in message
    return message
