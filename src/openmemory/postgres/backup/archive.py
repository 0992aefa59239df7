"""What is in a dump of pg_dump's custom format, read with pg_restore."""

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup.programs import Program, Running, candidates, complaint, running
from openmemory.postgres.backup.tables import label

_COPY = re.compile(rb'COPY ((?:"(?:[^"]|"")+"|[^".\s]+))\.((?:"(?:[^"]|"")+"|[^".\s]+))\s.*FROM stdin;\n?', re.DOTALL)
_ENTRY = re.compile(r"\d+; \d+ \d+ (?P<what>.+)")
_END = b"\\.\n"
_MAGIC = b"PGDMP"

Named: TypeAlias = tuple[str, str]
"""Schema and name of a table."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A dump that was read to its end: the rows of each table, and its list of contents as pg_restore prints it.

    After an entry follows a comment with those that it depends on.
    """

    program: Program
    rows: dict[str, int]
    schemas: frozenset[str]
    contents: tuple[str, ...]


def read(file: Path, program: str | None, on_progress: Callable[[str], None] = lambda _: None) -> Archive:
    """Return what is in `file`; raises ConfigurationError if it is no dump, not whole, or newer than the programs."""
    if not is_dump(file):
        raise ConfigurationError(
            f"{file} is no backup of `openmemory backup` (pg_dump's custom format); bring a plain SQL file back"
            " with psql"
        )
    reasons = []
    for one in candidates(program):
        done = subprocess.run([str(one.restore), "--list", "--verbose", str(file)], capture_output=True, check=False)  # noqa: S603
        if done.returncode == 0:
            on_progress(f"reading {file}")
            rows = rows_in(file, one, on_progress)
            named = {label(*table): number for table, number in rows.items()}
            schemas = frozenset(schema for schema, _ in rows)
            return Archive(one, named, schemas, tuple(done.stdout.decode().splitlines()))
        reasons.append(f"{one.restore}: {complaint(done.stderr, done.returncode)}")
    raise ConfigurationError(
        f"{file} cannot be read: {'; '.join(reasons)}. It is damaged, or it is of a newer pg_dump: then set OM_PG_DUMP"
        " to one of that version"
    )


def is_dump(file: Path) -> bool:
    """Return whether a file begins as a dump does; raises ConfigurationError if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def rows_in(file: Path, program: Program, on_progress: Callable[[str], None] = lambda _: None) -> dict[Named, int]:
    """Return the rows of each table in a dump, counted; the memory for it does not grow with the file."""
    counts: dict[Named, int] = {}
    with running([program.restore, "--data-only", "--file=-", file]) as reading:
        for line in reading.stdout:
            if table := table_of(line):
                on_progress(f"counting what is in the file: {label(*table)}")
                counts[table] = counts.get(table, 0) + sum(1 for _ in rows_of_copy(reading.stdout, file))
        ensure_whole(reading, file)
    return counts


def digests_in(file: Path, program: Program) -> dict[Named, str]:
    """Return a digest of the rows of each table in a dump that has any: equal ones are the same rows in their order."""
    digests: dict[Named, str] = {}
    with running([program.restore, "--data-only", "--file=-", file]) as reading:
        for line in reading.stdout:
            if table := table_of(line):
                rows, digest = 0, hashlib.sha256()
                for row in rows_of_copy(reading.stdout, file):
                    rows += 1
                    digest.update(row)
                if rows:
                    digests[table] = digest.hexdigest()
        ensure_whole(reading, file)
    return digests


def table_of(line: bytes) -> Named | None:
    """Return the schema and the name of the table whose rows follow a line, if they do."""
    found = _COPY.fullmatch(line) if line.startswith(b"COPY ") else None
    return (_plain(found[1]), _plain(found[2])) if found else None


def rows_of_copy(stream: IO[bytes], file: Path) -> Iterator[bytes]:
    """Yield the rows of a COPY in a dump, each one line, up to its end; raises ConfigurationError if there is none."""
    for line in stream:
        if line == _END:
            return
        yield line
    raise ConfigurationError(f"{file} ends in the middle of a table: it is damaged, or was cut off")


def ensure_whole(reading: Running, file: Path) -> None:
    """Wait for a pg_restore whose output was read; raises ConfigurationError if it did not reach the file's end."""
    if why := reading.failure():
        raise ConfigurationError(f"{file} is damaged, or was cut off: {why}")


def chosen(contents: Sequence[str], extensions: Sequence[str], schemas: Sequence[str]) -> list[str]:
    """Return the contents without what is there already and stays: extensions, and the schemas that tables lie in."""
    skipped = {f"EXTENSION - {name}" for name in extensions}
    skipped |= {f"COMMENT - EXTENSION {name}" for name in extensions}
    skipped |= {f"SCHEMA - {name}" for name in schemas}
    return [line for line in contents if not any(is_entry_of(line, one) for one in skipped)]


def owners(contents: Sequence[str]) -> set[str]:
    """Return the roles that own what is in a dump."""
    found = (line.rsplit(" ", 1)[-1] for line in contents if _ENTRY.match(line) and " ACL " not in line)
    return {owner for owner in found if owner}


def is_entry_of(line: str, one: str) -> bool:
    """Return whether a line of a list is that of `one`: its kind, schema and name."""
    found = _ENTRY.match(line)
    what = found["what"] if found else ""
    # What follows is the owner, who may be missing; more words are another name that begins alike.
    return what == one or (what.startswith(f"{one} ") and len(what[len(one) :].split()) < 2)


def _plain(identifier: bytes) -> str:
    text = identifier.decode()
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
