"""The reference of the tables, from the migrations and their comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from generate import table

from openmemory.postgres.migrate import shipped
from openmemory.postgres.statements import Names

_COLUMN = re.compile(r"(\w+) ((?:\w+ )?\w[\w()\[\]]*)(.*?),?")
_INDEX = re.compile(r"CREATE INDEX (\S+) ON (\S+) (.*?);", re.DOTALL)
_RULES = ("CONSTRAINT", "PRIMARY KEY", "UNIQUE")
_TWO_WORDS = ("double precision",)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as its migration makes it: columns with type, the rest of their line, and comment; rules; indexes."""

    name: str
    columns: list[tuple[str, str, str, str]] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)


def table_sections() -> str:
    """Return a section for each table, in Markdown."""
    return "\n".join(_section(one) for one in tables())


def tables() -> list[Table]:
    """Return the tables that the migrations make, under their default names, for vectors of 256 dimensions."""
    names = Names()
    found: list[Table] = []
    for migration in shipped():
        script = names.render(migration.template)
        found += _tables(script.splitlines())
        for index, on, columns in _INDEX.findall(script):
            owner = next(one for one in found if one.name == _bare(on))
            owner.indexes.append(f"`{_bare(index)}` {' '.join(columns.split())}".replace('"', ""))
    return found


def _tables(lines: list[str]) -> Iterator[Table]:
    made: Table | None = None
    comment: list[str] = []
    for line in _whole(lines):
        if line.startswith("CREATE TABLE "):
            made = Table(_bare(line.split()[2]))
        elif made is None:
            continue
        elif line.startswith(")"):
            yield made
            made = None
        elif line.startswith("--"):
            comment.append(line.removeprefix("--").strip())
        elif line.startswith(_RULES):
            made.rules.append(line.rstrip(",").replace('"', ""))
        elif column := _COLUMN.fullmatch(line):
            made.columns.append(_column(column, " ".join(comment)))
            comment = []


def _whole(lines: list[str]) -> Iterator[str]:
    """Yield the lines without what indents them, a rule that goes over several as one."""
    rule = ""
    for line in map(str.strip, lines):
        rule = f"{rule}{line} " if rule or line.startswith(_RULES) else ""
        if not rule:
            yield line
        elif rule.count("(") == rule.count(")"):
            yield rule.strip()
            rule = ""


def _column(found: "re.Match[str]", comment: str) -> tuple[str, str, str, str]:
    name, kind, rest = found[1], found[2], found[3]
    first, _, more = kind.partition(" ")
    if more and kind not in _TWO_WORDS:
        kind, rest = first, f"{more}{rest}"
    return name, kind, rest.strip(), comment


def _section(made: Table) -> str:
    rows = [
        (f"`{name}`", f"`{kind}`", f"`{rest}`" if rest else "", comment) for name, kind, rest, comment in made.columns
    ]
    parts = [f"## {made.name}", table(("Column", "Type", "Rules", "What it is"), rows).strip()]
    parts += ["\n".join(f"- `{rule}`" for rule in made.rules)] if made.rules else []
    parts += ["\n".join(f"- index {index}" for index in made.indexes)] if made.indexes else []
    return "\n\n".join(parts) + "\n"


def _bare(identifier: str) -> str:
    return identifier.replace('"', "").rpartition(".")[2]
