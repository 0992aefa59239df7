"""The default embedder: a table with one row a token, shipped with the package."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from openmemory.adapters.embedders.protocol import Purpose, Vectors, unit_rows
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TABLE = Path(__file__).parent.parent / "static_table"
_INLINE_CHARACTERS = 4_000  # about a millisecond of work; beyond that the event loop is left free


class StaticEmbedder:
    """The sum of the rows of a text's tokens, normalised; `MODEL_CARD.md` beside the table says what it is.

    Nothing is read before the first text, or `load`, which an application calls at start.
    """

    name = "static-v1"
    dimension = 256

    def __init__(self, folder: Path = TABLE) -> None:
        self._folder = folder
        self._table: _Table | None = None
        self._loading = threading.Lock()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return one row of unit length a text; without a known token, `unlike_anything`.

        Raises ConfigurationError if the table cannot be read.
        """
        if self._table is not None and sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self._table.embed(texts)
        return await anyio.to_thread.run_sync(lambda: self.load().embed(texts))

    def load(self) -> "_Table":
        """Read the table, once."""
        with self._loading:
            if self._table is None:
                self._table = _Table(self._folder, self.dimension)
            return self._table


class _Table:
    """The tokenizer and the rows.

    The library model2vec reads the same folder; for a single short query it takes XX µs where this takes YY.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        # Imported here: `openmemory settings` and the like should not pay for them.
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            rows = load_file(folder / "model.safetensors")["embeddings"]
            recipe = (folder / "tokenizer.json").read_text(encoding="utf-8")
        except (OSError, KeyError) as error:
            raise ConfigurationError(
                f"The token table in {folder} cannot be read ({type(error).__name__}): install the package again"
            ) from error
        self._rows: NDArray[np.int8] = rows
        self._tokenizer: Tokenizer = Tokenizer.from_str(recipe)
        self._unknown = self._tokenizer.token_to_id("[UNK]")

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text."""
        sums = np.zeros((len(texts), self._rows.shape[1]), np.float32)
        for row, text in zip(sums, texts, strict=True):
            tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
            self._rows[tokens].sum(0, out=row)
        return unit_rows(sums)
