"""Count the tokens of texts, which are what a provider counts and bills."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from openmemory.adapters.embedders.protocol import Embedder
from openmemory.adapters.embedders.static import TABLE, StaticEmbedder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHARACTERS_A_TOKEN = 4


class TokenCounter:
    """Counts with the embedder's own tokenizer if it is at hand, else one token for every four characters."""

    def __init__(self, embedder: Embedder) -> None:
        self.is_exact = isinstance(embedder, StaticEmbedder)

    def count(self, texts: Sequence[str]) -> int:
        """Return the tokens of `texts` in all; an estimate unless `is_exact`."""
        if not self.is_exact:
            return sum(-(-len(text) // _CHARACTERS_A_TOKEN) for text in texts)
        return sum(len(found.ids) for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer  # imported here: no other command should pay for it

        return Tokenizer.from_file(str(TABLE / "tokenizer.json"))
