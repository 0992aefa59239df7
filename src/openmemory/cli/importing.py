"""`openmemory import sqlite FILE --tenant NAME`: upstream's default store into one tenant."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.options import ConfigOption, JsonOption, YesOption, read_settings, tenant_of

if TYPE_CHECKING:
    from openmemory.adapters.embedders import Embedder
    from openmemory.adapters.embedders.protocol import Vectors
    from openmemory.adapters.sqlite import OldFile
    from openmemory.app import Readied
    from openmemory.postgres.imports import Already, Imported

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Upstream's SQLite file.", dir_okay=False)]


def imports() -> None:
    """Bring in what another store holds."""


def import_sqlite(
    context: typer.Context,
    file: FileArgument,
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", callback=tenant_of, help="Tenant to bring it to.")],
    embedding_model: Annotated[
        str | None,
        typer.Option(
            "--embedding-model",
            metavar="NAME",
            help="Model that made the file's vectors; where it is the database's, they are taken, else made anew.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the file holds, and stop there.")] = False,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring memories, users, waypoints and facts of FILE to a tenant; what it has already stays as it is."""
    from openmemory import app
    from openmemory.adapters.sqlite import open_file
    from openmemory.cli.printing import agree, console, print_facts, print_json, progress, when_stopped
    from openmemory.cli.upgrade import models

    old = open_file(file)
    settings = read_settings(context, config)
    with ExitStack() as left:
        # Closed before anything is asked: a spinner and a question cannot share the terminal.
        with progress("opening the database") as on_event:
            embedder = app.create_embedder(settings, on_event)
            logins = left.enter_context(app.reached(settings, on_event))
            ready = app.make_ready(settings, logins, embedder, on_event)
        keep = embedding_model == embedder.name and next(iter(old.dimensions), 0) == ready.names.dimension
        if keep:
            models.check(embedding_model, ready.names.dimension, old.sampled.get(ready.names.dimension))
        if dry_run and as_json:
            print_json({"file": asdict(old) | {"path": str(file)}, "keep_vectors": keep})
        elif not as_json:
            print_facts({**_said(old), "vectors": _vectors(old, embedder, keep=keep)})
        if dry_run:
            return
        agree(f"Bring {sum(old.rows.values()):,} rows to tenant {tenant}?", yes=yes)
        replaced: Counter[str] = Counter()
        with when_stopped("what was brought stays, and the same command goes on from there"):
            done = _bring(old, ready, tenant, embedder, replaced, keep=keep)
    if as_json:
        print_json({**asdict(done), "replaced": replaced, "without_key": old.without_key})
    else:
        _print(done, embedder, replaced)
        for line in _without_key(old):
            console().print(f"left out: {line}", soft_wrap=True)


def _bring(
    old: "OldFile", ready: "Readied", tenant: str, embedder: "Embedder", replaced: Counter[str], *, keep: bool
) -> "Imported":
    from openmemory.adapters.embedders import OpenAIEmbedder
    from openmemory.adapters.sqlite import TABLES
    from openmemory.cli.upgrade.report import bar
    from openmemory.postgres.imports import Source, import_rows

    source = Source({table: TABLES[table] for table in old.rows}, partial(old.read, replaced=replaced))
    with asyncio.Runner() as runner, bar(stderr=True) as show:
        embed = None if embedder.dimension is None else partial(_embedded, runner, embedder)
        try:
            return import_rows(ready.logins.owner, ready.names, tenant, source, embed, show, keep_vectors=keep)
        finally:
            if isinstance(embedder, OpenAIEmbedder):
                runner.run(embedder.aclose())


def _embedded(runner: asyncio.Runner, embedder: "Embedder", texts: Sequence[str]) -> "Vectors":
    """Return a vector for each text; a text that the provider refuses must not keep later ones from theirs."""
    from openmemory.adapters.embedders import TextsRefused
    from openmemory.cli.printing import count_of, warn

    try:
        return runner.run(embedder.embed(texts))
    except TextsRefused as error:
        warn(f"{count_of(len(error.places), 'text')} can be found by words alone: each {error.reason}")
        return error.vectors


def _print(done: "Imported", embedder: "Embedder", replaced: Counter[str]) -> None:
    from openmemory.cli.printing import console, count_of, print_facts, safe
    from openmemory.cli.upgrade.report import is_kept

    print_facts({f"{table} added": f"{count:,}" for table, count in done.added.items()})
    for table, held in done.already.items():
        for line in _already(held):
            console().print(safe(f"{table}: {line}"), soft_wrap=True)
    if done.filled:
        console().print(f"{count_of(done.filled, 'vector')} given to memories that were there without", soft_wrap=True)
    for reason, count in done.set_aside.items():
        console().print(f"{'noted' if is_kept(reason) else 'left out'}: {count:,} {reason}", soft_wrap=True)
    for table, count in replaced.items():
        line = (
            f"{table}: {count_of(count, 'row')} with a value that its column's type cannot hold; it stays in the file"
        )
        console().print(line, soft_wrap=True)
    if done.embedded:
        console().print(f"{done.embedded:,} texts embedded by {embedder.name}", soft_wrap=True)


def _already(held: "Already") -> list[str]:
    """Return why rows of a table were not added, one reason a line."""
    from openmemory.cli.printing import count_of

    lines = [f"{count_of(held.same, 'row')} there already, the same"] if held.same else []
    if held.contradicting:
        more = ", …" if held.contradicting > len(held.first_ids) else ""
        first = ", ".join(held.first_ids) + more
        lines.append(f"{count_of(held.contradicting, 'row')} left out, contradicting what is there: {first}")
    return lines


def _said(old: "OldFile") -> dict[str, str]:
    from openmemory.cli.upgrade import models

    sizes = ", ".join(f"{size}: {count:,}" for size, count in old.dimensions.items())
    return {
        **{table: f"{count:,} rows" for table, count in old.rows.items()},
        "dimensions": sizes,
        "model": models.none_made(old.sampled.get(next(iter(old.dimensions), 0))),
        "stays in the file": ", ".join([*old.left_out, *_without_key(old)]),
    }


def _without_key(old: "OldFile") -> list[str]:
    return [f"{count:,} rows of {table} without an id" for table, count in old.without_key.items()]


def _vectors(old: "OldFile", embedder: "Embedder", *, keep: bool) -> str:
    held = f"{old.rows['vectors']:,} rows"
    if keep:
        return f"{held}, taken as they are"
    if embedder.dimension is None:
        return f"{held}, left out: name their model (--embedding-model); without vectors memories are found by words"
    return f"{held}, left out: every text is embedded anew by {embedder.name}"
