"""Train the token table: a text's vector is the sum of its tokens' rows, and shall be the teacher's.

    python train.py --model DIR --data data --out ../src/openmemory/adapters/static_table

Reads DATA/texts.txt, DATA/texts.npy and DATA/tokens.npy; writes model.safetensors (int8), tokenizer.json and
config.json, which `model2vec.StaticModel.from_pretrained` loads too.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

DIMENSION = 256
RARE = 1e-3  # a token of this probability starts with half its weight (Arora, Liang and Ma, 2017)
TEMPERATURE = 0.1
BATCH = 2048
EPOCHS = 6
PEAK_RATE = 0.005
HELD_OUT = 2048
SEED = 7
SILENT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROTATION_TEXTS = 40_000
ROTATION_STEPS = 30


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tokenised texts and their teacher's vectors, projected and of unit length."""

    tokens: list[Tensor]
    vectors: Tensor

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens of `rows` end to end, where each row starts, and the teacher's vectors."""
        tokens = [self.tokens[row] for row in rows]
        starts = torch.tensor([0] + [len(ids) for ids in tokens[:-1]]).cumsum(0)
        return torch.cat(tokens), starts, self.vectors[rows]


def main() -> None:
    """Project, start, train, write."""
    options = parse()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    tokenizer = bare_tokenizer(options.model / "tokenizer.json")
    texts = (options.data / "texts.txt").read_text(encoding="utf-8").splitlines()
    sentences = torch.from_numpy(np.load(options.data / "texts.npy")).float()
    alone = torch.from_numpy(np.load(options.data / "tokens.npy")).float()

    basis = principal_axes(sentences)
    corpus = tokenise(texts, functional.normalize(sentences @ basis), tokenizer)
    table = start_table(alone @ basis, corpus.tokens)
    if options.epochs:
        table = train(table, corpus, options.epochs)
    table = table @ sign_axes(table, corpus)
    table[[tokenizer.token_to_id(name) for name in SILENT]] = 0
    write(table.numpy(), tokenizer, options.out)


def parse() -> argparse.Namespace:
    """Return the folders, the epochs (0: only the start table) and the threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of the teacher")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="0 writes the start table")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def bare_tokenizer(path: Path) -> Tokenizer:
    """Return the teacher's tokenizer without padding, truncation and special tokens."""
    recipe = json.loads(path.read_text(encoding="utf-8"))
    recipe |= {"padding": None, "truncation": None, "post_processor": None}
    return Tokenizer.from_str(json.dumps(recipe))


def principal_axes(vectors: Tensor) -> Tensor:
    """Return the DIMENSION directions that hold most of the vectors' energy, not centred, as columns."""
    energy, axes = torch.linalg.eigh(vectors.T @ vectors)
    kept = energy[-DIMENSION:].sum() / energy.sum()
    print(f"{DIMENSION} of {len(energy)} axes hold {kept:.1%} of the energy")
    return axes[:, -DIMENSION:].flip(1)


def tokenise(texts: list[str], vectors: Tensor, tokenizer: Tokenizer) -> Corpus:
    """Return the texts that have a known token."""
    unknown = tokenizer.token_to_id("[UNK]")
    rows = [[token for token in encoding.ids if token != unknown] for encoding in tokenizer.encode_batch_fast(texts)]
    kept = [index for index, row in enumerate(rows) if row]
    return Corpus([torch.tensor(rows[index]) for index in kept], vectors[kept])


def start_table(alone: Tensor, texts: list[Tensor]) -> Tensor:
    """Return the tokens' own vectors, each times RARE / (RARE + its probability in the texts)."""
    count = torch.bincount(torch.cat(texts), minlength=len(alone))
    probability = count / count.sum()
    return alone * (RARE / (RARE + probability)).unsqueeze(1)


def train(table: Tensor, corpus: Corpus, epochs: int) -> Tensor:
    """Return the table after `epochs` over all texts but HELD_OUT, on which it is measured."""
    started = time.perf_counter()
    bag = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")
    order = torch.randperm(len(corpus.tokens)).tolist()
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    steps = math.ceil(len(rest) / BATCH)
    optimiser = torch.optim.Adam(bag.parameters(), lr=PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps * epochs)
    report(0, bag, corpus, held_out, started)
    for epoch in range(1, epochs + 1):
        shuffled = torch.randperm(len(rest)).tolist()
        for step in range(steps):
            rows = [rest[index] for index in shuffled[step * BATCH : (step + 1) * BATCH]]
            tokens, starts, wanted = corpus.batch(rows)
            optimiser.zero_grad()
            loss(functional.normalize(bag(tokens, starts)), wanted).backward()
            optimiser.step()
            schedule.step()
        report(epoch, bag, corpus, held_out, started)
    return bag.weight.detach()


def loss(got: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 - cosine to the teacher plus KL(teacher || table) of who is near whom in the batch.

    The first term pins each vector; the second keeps the order of the neighbours, which is what search needs.
    """
    cosine = (got * wanted).sum(1).mean()
    near = functional.log_softmax(got @ got.T / TEMPERATURE, dim=1)
    near_wanted = functional.log_softmax(wanted @ wanted.T / TEMPERATURE, dim=1)
    return 1 - cosine + functional.kl_div(near, near_wanted, reduction="batchmean", log_target=True)


def sign_axes(table: Tensor, corpus: Corpus) -> Tensor:
    """Return a rotation after which the signs of a vector say the most about it.

    It changes no cosine. A server finds candidates by sign bits, and the principal axes are bad for that: the first
    has one sign for nearly every text, the last hold noise. Iterative quantisation (Gong and Lazebnik, 2011).
    """
    rows = torch.randperm(len(corpus.tokens))[:ROTATION_TEXTS].tolist()
    tokens, starts, _ = corpus.batch(rows)
    vectors = functional.normalize(functional.embedding_bag(tokens, table, starts, mode="sum"))
    rotation, _ = torch.linalg.qr(torch.randn(DIMENSION, DIMENSION))
    for _ in range(ROTATION_STEPS):
        left, _, right = torch.linalg.svd((vectors @ rotation).sign().T @ vectors)
        rotation = (left @ right).T
    return rotation


@torch.no_grad()
def report(epoch: int, bag: torch.nn.EmbeddingBag, corpus: Corpus, rows: list[int], started: float) -> None:
    """Print the mean cosine to the teacher, and the loss, on texts that were not trained on."""
    tokens, starts, wanted = corpus.batch(rows)
    got = functional.normalize(bag(tokens, starts))
    cosine = (got * wanted).sum(1).mean()
    seconds = time.perf_counter() - started
    print(f"epoch {epoch}: cosine {cosine:.3f}, loss {loss(got, wanted):.3f}, {seconds:.0f} s", flush=True)


def write(table: NDArray[np.float32], tokenizer: Tokenizer, folder: Path) -> None:
    """Write the table as int8 of one common scale, which normalising the sum undoes."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = np.rint(table * (127 / np.abs(table).max())).astype(np.int8)
    (folder / "model.safetensors").write_bytes(save({"embeddings": whole}))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"model_type": "model2vec", "normalize": True, "max_length": None, "embedding_dtype": "int8"}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(f"{whole.shape[0]:,} x {whole.shape[1]} in {folder}")


if __name__ == "__main__":
    main()
