"""Print the progress, the counts and the results of `openmemory reembed`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from openmemory.cli.printing import console, count_of, print_facts, print_json, safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from openmemory.postgres.upgrade.found import Session
    from openmemory.service.reembedding import Counted, Key

FIRST = 5
"""How many refused memories are named."""
_LINE_EVERY_S = 10.0
_MINUTE_S, _HOUR_S = 60, 3600


def told(facts: Mapping[str, str]) -> str:
    """Return a model as people read it."""
    model, dimension = facts.get("embedding_model", "an unknown model"), facts.get("embedding_dimension", "unknown")
    return safe(f"{model} ({dimension} dimensions, {facts.get('embedding_type', 'vector')})")


def sessions_told(sessions: "Sequence[Session]") -> str:
    """Return sessions for a message, those of one client together."""
    clients: dict[str, list[str]] = {}
    for one in sessions:
        client = ", ".join(filter(None, (one.application, one.user, one.address or "local")))
        clients.setdefault(client, []).append(str(one.pid))
    return "; ".join(f"{client}: pid {', '.join(pids)}" for client, pids in clients.items())


def say(document: Mapping[str, object], line: str, *, as_json: bool) -> None:
    """Print a result, as JSON or as a line."""
    if as_json:
        print_json(dict(document))
    else:
        console().print(safe(line), soft_wrap=True)


def refused_facts(refused: "Sequence[Key]") -> dict[str, object]:
    """Return how many texts were refused, and the first memories of them, for JSON."""
    return {"texts": len(refused), "first": [{"tenant": tenant, "id": str(id_)} for tenant, id_ in refused[:FIRST]]}


def refused_told(refused: "Sequence[Key]", singular: str, plural: str) -> str:
    """Return the sentence that names the first memories whose texts were refused; "" where none was."""
    if not refused:
        return ""
    named = ", ".join(f"{id_} of {tenant}" for tenant, id_ in refused[:FIRST])
    more = f" and {len(refused) - FIRST:,} more" if len(refused) > FIRST else ""
    told_of = singular if len(refused) == 1 else plural
    return f" {count_of(len(refused), 'text')} {told_of}: {named}{more}. Shorten what a model cannot take."


def print_count(
    counted: "Counted",
    recorded: Mapping[str, str],
    target: Mapping[str, str],
    without_memory: int = 0,
    *,
    as_json: bool,
) -> None:
    """Print what a dry run counted."""
    if as_json:
        print_json(
            {
                "texts": counted.texts,
                "tokens": counted.tokens,
                "tokens_are_exact": counted.is_exact,
                "without_memory": without_memory,
                "from": {name: recorded.get(name) for name in target},
                "to": dict(target),
            }
        )
        return
    how = "counted by its own tokenizer" if counted.is_exact else "an estimate: one for each four characters"
    print_facts(
        {
            "from": told(recorded),
            "to": told(target),
            "texts": f"{counted.texts:,}",
            "tokens": f"{counted.tokens:,}, {how}",
            "without a memory": f"{without_memory:,}, which stay set aside" if without_memory else "",
        }
    )


@contextmanager
def bar() -> "Iterator[Callable[[int, int], None]]":
    """Show texts done, texts a second and the time left: a bar on a terminal, else a line every ten seconds."""
    shown = console(stderr=True)
    if not shown.is_terminal:
        yield _Lines()
        return
    from rich import progress

    columns = (
        progress.TextColumn("embedding"),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.completed:,} of {task.total:,} texts {task.fields[pace]}"),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=shown, expand=True) as live:
        task = live.add_task("", total=0, pace="", visible=False)

        def show(done: int, total: int) -> None:
            speed = live.tasks[0].speed
            live.update(task, completed=done, total=total, pace=f"{speed:,.0f}/s" if speed else "", visible=True)

        yield show


class _Lines:
    """Prints the progress now and then."""

    def __init__(self) -> None:
        self._began_s = self._said_s = monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Print a line if the last one is old enough."""
        now = monotonic()
        if done == 0:
            self._began_s = now
        if now - self._said_s < _LINE_EVERY_S or done == 0:
            return
        self._said_s = now
        pace = done / (now - self._began_s)
        left = _span((total - done) / pace)
        console(stderr=True).print(f"{done:,} of {total:,} texts, {pace:,.0f}/s, {left} left", soft_wrap=True)


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} minutes" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.1f} hours"
