"""Gather the texts that the token table is trained on, from clones of public repositories.

    python texts.py --persona-chat DIR --wordnet DIR [--natural-questions DIR] --out data/texts.txt

Writes one text a line, each once, in a fixed order. LoCoMo, on which we measure, and its kin never go in. The
shipped table is made without NQ-open, whose licence (CC BY-SA 3.0) asks more than attribution.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

# The files are named so that a fuller clone gives the same texts.
PERSONA_CHAT = ("Synthetic-Persona-Chat_test.csv", "Synthetic-Persona-Chat_valid.csv")
NATURAL_QUESTIONS = (
    "NQ-open.dev.jsonl",
    "NQ-open.efficientqa.dev.1.1.jsonl",
    "NQ-open.efficientqa.test.1.1.jsonl",
)


def main() -> None:
    """Write the texts and say how many each source gave that no earlier one had."""
    options = parse()
    sources = [
        ("Synthetic-Persona-Chat", persona_chat(options.persona_chat)),
        ("Open English WordNet", wordnet(options.wordnet)),
    ]
    if options.natural_questions:
        sources.append(("NQ-open", natural_questions(options.natural_questions)))
    texts: dict[str, None] = {}
    for name, source in sources:
        before = len(texts)
        texts.update(dict.fromkeys(" ".join(text.split()) for text in source))
        texts.pop("", None)
        print(f"{name}: {len(texts) - before:,} texts")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(f"{len(texts):,} texts in {options.out}")


def parse() -> argparse.Namespace:
    """Return the folders of the clones and the file to write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persona-chat", type=Path, required=True, metavar="DIR")
    parser.add_argument("--wordnet", type=Path, required=True, metavar="DIR")
    parser.add_argument("--natural-questions", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("data/texts.txt"), metavar="FILE")
    return parser.parse_args()


def persona_chat(clone: Path) -> Iterator[str]:
    """Yield each line of the personas and each turn of the conversations, without its speaker."""
    for name in PERSONA_CHAT:
        with (clone / "data" / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for cell in row.values():
                    for line in cell.splitlines():
                        yield re.sub(r"^User [12]:", "", line)


def wordnet(clone: Path) -> Iterator[str]:
    """Yield the definitions and the examples of all synsets."""
    for path in sorted((clone / "src" / "yaml").glob("*.yaml")):
        if path.name.startswith(("entries-", "frames")):
            continue
        for synset in yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader).values():
            yield from synset["definition"]
            for example in synset.get("example", ()):
                # An example with a source is a mapping; the text alone is wanted.
                yield example if isinstance(example, str) else example["text"]


def natural_questions(clone: Path) -> Iterator[str]:
    """Yield the questions, without their answers."""
    for name in NATURAL_QUESTIONS:
        for line in (clone / "nq_open" / name).read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["question"]


if __name__ == "__main__":
    main()
