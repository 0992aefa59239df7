"""Embed the texts, and each token alone, with the teacher all-MiniLM-L6-v2.

    python teacher.py --model DIR --texts data/texts.txt --out data

Writes OUT/texts.npy (float16, texts x 384) and OUT/tokens.npy (float16, 30,522 x 384), rows of unit length.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import BertModel

LONGEST = 128  # tokens; the teacher was trained on no longer texts
BATCH_TOKENS = 8192


def main() -> None:
    """Write the vectors of the texts and of the tokens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of the teacher")
    parser.add_argument("--texts", type=Path, default=Path("data/texts.txt"), metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    teacher = Teacher(options.model)
    started = time.perf_counter()
    np.save(options.out / "tokens.npy", teacher.embed_tokens())
    texts = options.texts.read_text(encoding="utf-8").splitlines()
    np.save(options.out / "texts.npy", teacher.embed(texts))
    print(f"{len(texts):,} texts in {time.perf_counter() - started:.0f} s")


class Teacher:
    """The sentence transformer: the mean of the last layer over all tokens, normalised."""

    def __init__(self, folder: Path) -> None:
        self._model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)

    def embed(self, texts: list[str]) -> NDArray[np.float16]:
        """Return the vectors of `texts`, in order."""
        return self._embed([encoding.ids for encoding in self._tokenizer.encode_batch(texts)])

    def embed_tokens(self) -> NDArray[np.float16]:
        """Return the vector of each token of the vocabulary as a text of its own."""
        start, end = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        return self._embed([[start, token, end] for token in range(self._tokenizer.get_vocab_size())])

    def _embed(self, rows: list[list[int]]) -> NDArray[np.float16]:
        # Texts of like length go together, so that little is padded.
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        vectors = np.empty((len(rows), self._model.config.hidden_size), np.float16)
        at = 0
        while at < len(order):
            count = max(1, BATCH_TOKENS // len(rows[order[min(at + 255, len(order) - 1)]]))
            batch = order[at : at + min(count, 256)]
            vectors[batch] = self._forward([rows[index] for index in batch])
            at += len(batch)
        return vectors

    @torch.inference_mode()
    def _forward(self, rows: list[list[int]]) -> NDArray[np.float16]:
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        summed = (hidden * mask.unsqueeze(-1)).sum(1)
        return torch.nn.functional.normalize(summed).half().numpy()


if __name__ == "__main__":
    main()
