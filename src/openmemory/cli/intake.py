"""Read a file of memories into the database, line by line."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from openmemory.cli.contract import read_told
from openmemory.cli.printing import complain, console
from openmemory.cli.session import Session
from openmemory.core.memory import Told
from openmemory.core.scope import Scope
from openmemory.errors import ConfigurationError, Malformed, OpenMemoryError, Unprocessable

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: its number from 1, its size with the end of line, and its memory or its error."""

    number: int
    size_bytes: int
    told: Told | OpenMemoryError


@dataclass(slots=True)
class Done:
    """The outcome of all lines."""

    added: int = 0
    deduplicated: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    def answer(self) -> dict[str, object]:
        """Return the outcome as a document for scripts."""
        refused = [{"line": number, "error": reason} for number, reason in self.refused]
        return {"added": self.added, "deduplicated": self.deduplicated, "refused": refused}


def take_in(session: Session, scope: Scope, file: str, defaults: Mapping[str, object], *, partial: bool) -> Done:
    """Store the memories of `file`, one on each line, and return their outcome.

    A bad line is named on standard error. Without `partial`, nothing follows a line that cannot be read, and no batch
    follows one with a memory that is refused; all else is kept. Raises ConfigurationError if the file cannot be read.
    """
    done = Done()
    with _opened(file) as (source, size_bytes), _shown(size_bytes) as advance:
        for batch in _batches(_lines(source, defaults), partial=partial):
            _keep(session, scope, batch, done)
            advance(sum(line.size_bytes for line in batch))
            if done.refused and not partial:
                break
    return done


def _keep(session: Session, scope: Scope, batch: list[Line], done: Done) -> None:
    told = [line.told for line in batch if isinstance(line.told, Told)]
    results = iter(session.run(session.services.memories.add_each(scope, told)) if told else ())
    for line in batch:
        result = next(results) if isinstance(line.told, Told) else line.told
        if isinstance(result, OpenMemoryError):
            done.refused.append((line.number, result.detail))
            complain(f"line {line.number}: {result.detail}")
        elif result.deduplicated:
            done.deduplicated += 1
        else:
            done.added += 1


def _batches(lines: Iterator[Line], *, partial: bool) -> Iterator[list[Line]]:
    """Yield lines in batches; without `partial` nothing follows the first bad one."""
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH or (not partial and isinstance(line.told, OpenMemoryError)):
            yield batch
            batch = []
    if batch:
        yield batch


def _lines(source: BinaryIO, defaults: Mapping[str, object]) -> Iterator[Line]:
    for number, line in enumerate(source, 1):
        if line.strip():
            yield Line(number, len(line), _told(line, defaults))


def _told(line: bytes, defaults: Mapping[str, object]) -> Told | OpenMemoryError:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Malformed("is not UTF-8")
    except (ValueError, RecursionError):
        return Malformed("is not JSON")
    if not isinstance(fields, dict):
        return Malformed("is not a JSON object")
    try:
        return read_told({**defaults, **fields})
    except (Malformed, Unprocessable) as error:
        return error


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Yield `file` opened, and its size; "-" is standard input, whose size is not known (None)."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    with ExitStack() as left:
        try:
            opened = left.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
        yield opened, Path(file).stat().st_size


@contextmanager
def _shown(size_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress on a terminal; yield the function that takes the count of bytes that were done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    bar = Progress(*columns, TimeRemainingColumn(), console=shown, disable=not shown.is_terminal, transient=True)
    with bar:
        task = bar.add_task("remembering", total=size_bytes)
        yield lambda count: bar.advance(task, count)
