"""Select OpenMemory's own tables from a dump of the whole database."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from openmemory.postgres.backup.archive import Archive, is_entry_of
from openmemory.postgres.backup.tables import is_named_by_us, label
from openmemory.postgres.statements import Names

_ID = re.compile(r"(\d+); ")
_DEPENDS = re.compile(r";\s+depends on:((?: \d+)+)")
# Entries that need their table alone. A trigger, a rule or a view may call something that is not selected.
_BELONGING = ("TABLE DATA", "CONSTRAINT", "FK CONSTRAINT", "INDEX", "POLICY", "ROW SECURITY", "DEFAULT", "ACL",
              "COMMENT", "SEQUENCE", "SEQUENCE SET", "SEQUENCE OWNED BY", "STATISTICS", "STATISTICS DATA")  # fmt: skip

# Entries that use a table and may need more than it. A list names them after the table.
_MADE_OF_IT = ("TRIGGER", "RULE", "VIEW", "MATERIALIZED VIEW", "PUBLICATION TABLE")
# Those that an unfinished upgrade or reembedding makes for itself.
_OWN_TRIGGERS = re.compile(r" (?:openmemory_upgrade_guard(?:_truncate)?|openmemory_reembed)(?: |$)")


@dataclass(slots=True)
class _Entry:
    id: str
    line: str
    depends: frozenset[str] = frozenset()

    def is_one_of(self, kinds: Sequence[str]) -> bool:
        what = self.line.split(" ", 3)[-1]
        return any(what.startswith(f"{kind} ") for kind in kinds)


def ours_of(archive: Archive, names: Names) -> Archive:
    """Return `archive` reduced to OpenMemory's tables and what belongs to them."""
    rows = {name: count for name, count in archive.rows.items() if is_named_by_us(name, names)}
    schemas = frozenset(one for one in archive.schemas if any(name.startswith(label(one, "")) for name in rows))
    entries = list(_entries(archive.contents))
    chosen = _chosen(entries, rows)
    contents = tuple(one.line for one in entries if one.id in chosen)
    return replace(archive, rows=rows, schemas=schemas, contents=contents)


def left_out(archive: Archive, names: Names) -> tuple[str, ...]:
    """Return the views, triggers and the like that `ours_of` leaves out, as pg_restore lists them."""
    entries = list(_entries(archive.contents))
    chosen = _chosen(entries, [name for name in archive.rows if is_named_by_us(name, names)])
    made = (one for one in entries if one.id not in chosen and one.depends & chosen and one.is_one_of(_MADE_OF_IT))
    lines = (one.line.split(" ", 3)[-1].rsplit(" ", 1)[0] for one in made if not _OWN_TRIGGERS.search(one.line))
    return tuple(sorted(lines))


def _chosen(entries: Sequence[_Entry], tables: Collection[str]) -> set[str]:
    """Return the ids of `tables` and of all that depends on them, unless it depends on another table as well."""
    wanted = [f"TABLE {name.replace('.', ' ', 1)}" for name in tables]
    chosen = {one.id for one in entries if any(is_entry_of(one.line, table) for table in wanted)}
    foreign = {one.id for one in entries if one.is_one_of(["TABLE"]) and not one.is_one_of(_BELONGING)} - chosen
    size = 0
    while size < len(chosen):
        size = len(chosen)
        for one in entries:
            if one.is_one_of(_BELONGING) and chosen & one.depends and not foreign & one.depends:
                chosen.add(one.id)
    return chosen


def _entries(contents: Sequence[str]) -> Iterator[_Entry]:
    """Yield the entries of a list that pg_restore has printed with what each depends on."""
    last: _Entry | None = None
    for line in contents:
        if found := _ID.match(line):
            if last:
                yield last
            last = _Entry(found[1], line)
        elif last and (found := _DEPENDS.match(line)):
            last.depends = frozenset(found[1].split())
    if last:
        yield last
