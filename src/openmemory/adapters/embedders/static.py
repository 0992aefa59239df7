"""The default embedder: a table with one row a token, shipped with the package."""

import asyncio
import re
import threading
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmemory.adapters.embedders.protocol import Vectors, unit_rows
from openmemory.core.parts import in_parts
from openmemory.errors import ConfigurationError

TABLE = Path(__file__).parent.parent / "static_table"
_INLINE_CHARACTERS = 4_000  # about a millisecond of work; for more the event loop is left free
# The parts of a text of which the table knows nothing: words, and other characters (emoji) one by one, without the
# joiners and selectors that many of them share.
_UNKNOWN = re.compile(r"\w+|[^\w\s\x00-\x1f\u200d\ufe00-\ufe0f]")
_UNKNOWN_MOST = 1_000  # words of a text that count; each takes some 4 µs


class StaticEmbedder:
    """The sum of the rows of a text's tokens, normalised; `MODEL_CARD.md` beside the table says what it is.

    The table is read for the first text, or by `load`, which an application calls at start.
    """

    name = "static-v1"
    dimension = 256

    def __init__(self, folder: Path = TABLE) -> None:
        self._folder = folder
        self._table: _Table | None = None
        self._loading = threading.Lock()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text.

        Texts without a known token are near to each other as far as they share words or emoji; one without these gets
        `unlike_anything`. Raises ConfigurationError if the table cannot be read.
        """
        if self._table is not None and sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self._table.embed(texts)
        # In parts, since nothing stops a thread: a server that stops would wait for all of a large batch.
        return np.concatenate([await asyncio.to_thread(self._embedded, part) for part in in_parts(texts, len)])

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        return self.load().embed(texts)

    def load(self) -> "_Table":
        """Read the table, once."""
        with self._loading:
            if self._table is None:
                self._table = _Table(self._folder)
            return self._table


class _Table:
    """The tokenizer and the rows.

    The library model2vec reads the same folder and gives the same vectors. But it takes 72 µs for a query of ten words
    (this: 30 µs) and 0.3 s to import and load (this: 0.04 s). It also changes its tokenizer in every call, so that two
    threads could not share it.
    """

    def __init__(self, folder: Path) -> None:
        # Imported here: `openmemory settings` and the like should not pay for them.
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        try:
            rows = load_file(folder / "model.safetensors")["embeddings"]
            recipe = (folder / "tokenizer.json").read_text(encoding="utf-8")
        except (OSError, KeyError, SafetensorError) as error:
            raise ConfigurationError(
                f"the token table in {folder} cannot be read ({type(error).__name__}): install the package again"
            ) from error
        # Kept as int8: 8 MB a process instead of 31, a sum in integers that is the same on every machine, and only
        # 1.5 µs a query more than float32.
        self._rows: NDArray[np.int8] = rows
        self._tokenizer = Tokenizer.from_str(recipe)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of unit length a text."""
        sums = np.empty((len(texts), self._rows.shape[1]), np.float32)
        for index, text in enumerate(texts):
            # One by one: the library's threads for many texts gain nothing on a busy machine, and a small request
            # would wait for them. `encode` also finds offsets, which takes 4 µs more.
            tokens = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
            sums[index] = self._rows[tokens].sum(0, dtype=np.int32)
        for nothing in np.flatnonzero(~sums.any(axis=1)).tolist():
            sums[nothing] = _from_digests(texts[nothing])
        return unit_rows(sums)


def _from_digests(text: str) -> Vectors:
    """Return the sum of one direction for each unknown word: its digest's bits as signs, nearly at right angles."""
    total = np.zeros(StaticEmbedder.dimension, np.float32)
    for word in _UNKNOWN.findall(text.lower())[:_UNKNOWN_MOST]:
        digest = blake2b(word.encode(errors="surrogatepass"), digest_size=StaticEmbedder.dimension // 8).digest()
        total += np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.float32) * 2 - 1
    return total
