"""Print for people and for scripts: results on standard output, all else on standard error."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from openmemory.errors import OpenMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from openmemory.core.memory import Memory

_BAR_CELLS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# Control characters except tab and line feed, and characters that change the direction of text.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_KIB = 1024


class Declined(OpenMemoryError):
    """The person at the terminal did not say yes."""


def console(*, stderr: bool = False) -> "Console":
    """Return a console that prints text, never markup; without a terminal it has no colours."""
    from rich.console import Console

    class Piped(Console):
        """A console whose reader may go; by itself it would end the process with 1."""

        def on_broken_pipe(self) -> None:
            """Let the command see it."""
            raise

    return Piped(stderr=stderr, highlight=False, markup=False, emoji=False)


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    console(stderr=True).print(f"openmemory: {safe(message)}", style="red", soft_wrap=True)


def warn(message: str) -> None:
    """Say on standard error what the operator should know."""
    console(stderr=True).print(f"openmemory: warning: {safe(message)}", style="yellow", soft_wrap=True)


def note(message: str) -> None:
    """Say on standard error what is no result, such as where the next page begins."""
    console(stderr=True).print(safe(message), style="dim", soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document on standard output; `value` is a model of `wire` or made of JSON's types."""
    from pydantic_core import to_json

    sys.stdout.write(to_json(value, indent=2).decode() + "\n")
    sys.stdout.flush()


def agree(question: str, *, yes: bool) -> None:
    """Ask the person at the terminal, unless `yes`; raises Declined."""
    if yes:
        return
    console(stderr=True).print(f"{safe(question)} [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer:
        raise Declined("nothing was changed: nobody is there to ask; say --yes")
    if answer.strip().lower() not in {"y", "yes"}:
        raise Declined("nothing was changed")


@contextmanager
def progress(first: str) -> "Iterator[Callable[[str], None]]":
    """Show on a terminal what is being done; yield the function that takes the next step."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield lambda _: None
        return
    with shown.status(first) as status:
        yield partial(status.update)


@contextmanager
def when_stopped(standing: str) -> Iterator[None]:
    """Make `reported` print `standing` if Ctrl-C ends the block; of nested blocks, the innermost speaks."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise (error if error.args else KeyboardInterrupt(standing)) from None


def safe(text: str) -> str:
    """Return `text` without characters that control a terminal: anybody may have written it."""
    return _STEERING.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return `text` safe and on one line."""
    return " ".join(safe(text).split())


def bar(score: float) -> str:
    """Return a bar of ten cells for a score of 0 to 1, exact to an eighth of a cell."""
    eighths = round(min(max(score, 0.0), 1.0) * _BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_CELLS)


def print_indented(text: str, spaces: int = 4, style: str = "") -> None:
    """Print `text`, wrapped to the terminal, every line moved in."""
    from rich.text import Text

    shown = console()
    for line in Text(safe(text), style, tab_size=4).wrap(shown, max(shown.width - spaces, 20), overflow="fold"):
        line.rstrip()
        shown.print(Text.assemble(" " * spaces, line) if line else "", soft_wrap=True)


def size(count: int) -> str:
    """Return a number of bytes as people write it."""
    value, units = float(count), iter(("KiB", "MiB", "GiB", "TiB"))
    unit = "bytes"
    while value >= _KIB and (larger := next(units, None)):
        value, unit = value / _KIB, larger
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: 1 memory, 2 memories."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def print_facts(facts: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
    """Print names and values, one a line, the values below each other and wrapped."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in dict(facts).items():
        if value:
            table.add_row(name, safe(value))
    console().print(table)


def who_and_when(memory: "Memory") -> str:
    """Return who said something, when, and in which conversation, user and project."""
    parts = [
        one_line(memory.speaker or ""),
        f"{memory.occurred_at:%Y-%m-%d %H:%M}",
        f"session {one_line(memory.session_id)}" if memory.session_id else "",
        f"user {one_line(memory.user_id)}" if memory.user_id else "",
        f"project {one_line(memory.project_id)}" if memory.project_id else "",
    ]
    return " · ".join(filter(None, parts))
