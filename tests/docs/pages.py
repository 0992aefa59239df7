"""The pages of the documentation: their code blocks, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))

_BLOCK = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_ANY = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, what follows that, and its text."""

    language: str
    info: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def links(page: Path) -> Iterator[str]:
    """Yield where the links of a page lead, as they are written."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    # Code inside a link's text stays, or the link would fall apart; elsewhere a bracket in code is no link.
    return (target for target in _LINK.findall(_CODE.sub("code", prose)))


def headings(page: Path) -> list[str]:
    """Return the headings of a page, without their marks."""
    prose = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [line.lstrip("#").strip() for line in prose.splitlines() if re.match(r"#{1,6} ", line)]


def anchor(heading: str) -> str:
    """Return the fragment that Markdown gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def is_like(shown: str, printed: str) -> bool:
    """Return whether `printed` is what a page shows: "…" stands for anything in a line, and alone for any lines."""
    pattern = "".join(
        "(?:[^\n]*\n)*" if line.strip() == _ANY else re.escape(line).replace(re.escape(_ANY), "[^\n]*") + "\n"
        for line in _lines(shown)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
