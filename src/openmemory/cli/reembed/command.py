"""`openmemory reembed`: make every vector anew with the model of the settings, or only the missing ones."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from openmemory.cli.naming import index_choice, names_of
from openmemory.cli.options import ConfigOption, JsonOption, YesOption, read_settings
from openmemory.cli.printing import agree, count_of, note
from openmemory.cli.reembed.report import bar, print_count, refused_facts, refused_told, say, sessions_told, told
from openmemory.cli.reembed.work import Job, ReembedOptions, Work, job_of, working
from openmemory.errors import ConfigurationError

if TYPE_CHECKING:
    from openmemory.app import Logins
    from openmemory.postgres.beside import NewVectors
    from openmemory.postgres.statements import Names
    from openmemory.service.reembedding import Key

_TRIES = 10


def reembed(
    context: typer.Context,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only the memories whose old vectors an upgrade set aside.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count texts and tokens, and stop there.")] = False,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep the old vectors in a schema of their own instead of dropping them.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Drop what an unfinished run has made; the old vectors stay in use.")
    ] = False,
    ignore_sessions: Annotated[
        bool,
        typer.Option("--ignore-sessions", help="Exchange although a server seems connected, where that is a pooler."),
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, max=100_000, help="Texts that are embedded and written together.")
    ] = 1000,
    yes: YesOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move every vector to the model of the settings: embed all texts again. Goes on where it was stopped.

    A server may serve meanwhile, and is stopped for the exchange at the end. Asks first.
    """
    wanted = ReembedOptions(
        quarantined=quarantined,
        dry_run=dry_run,
        keep_old=keep_old,
        abandon=abandon,
        ignore_sessions=ignore_sessions,
        batch_size=batch_size,
        yes=yes,
        as_json=as_json,
    )
    wanted.check()
    settings = read_settings(context, config)
    from openmemory import app

    with app.reached(settings) as logins:
        if abandon:
            _abandon(logins, names_of(settings), wanted)
        else:
            job = job_of(settings, logins)
            _repair(job, wanted) if quarantined else _move(job, wanted)


def _move(job: Job, wanted: ReembedOptions) -> None:
    """Move every vector, from where an unfinished run was stopped."""
    from openmemory.postgres.beside import new_vectors
    from openmemory.postgres.reembedding import Beside

    names = Beside.of(job.names)
    with new_vectors(job.logins.owner, names) as new:
        begun = new.begun()
        _check_begun(job, begun)
        if job.is_there:
            _tidy_after_another(job, wanted, new, names)
            return
        if wanted.keep_old:
            new.refuse_kept()
        with working(job, names, wanted) as work:
            tenants = work.run(work.rows.unfinished()) if begun else new.tenants()
            if wanted.dry_run:
                counted = work.run(work.rows.count(tenants, begun=bool(begun)))
                print_count(counted, job.recorded, job.target, as_json=wanted.as_json)
                return
            _agree(job, wanted, work.run(work.rows.texts(tenants, begun=bool(begun))), begun=bool(begun))
            started = monotonic()
            if not begun:
                new.begin(job.target)
            texts = _fill_and_exchange(job, wanted, new, work)
            _tidy(job, new, work)
            refused = work.rows.refused
    _finish(job, wanted, texts, refused, monotonic() - started, names.before)


def _check_begun(job: Job, begun: Mapping[str, str]) -> None:
    """Raise ConfigurationError where an unfinished run moves to another model than the settings choose."""
    if begun and dict(begun) != job.target:
        raise ConfigurationError(
            f"a run that moves the vectors to {told(begun)} was begun, and the settings choose {told(job.target)}."
            " Set them back to finish it, or drop what it has made: openmemory reembed --abandon"
        )


def _agree(job: Job, wanted: ReembedOptions, texts: int, *, begun: bool) -> None:
    done = "Go on, and embed" if begun else "Embed"
    after = "kept in a schema of their own" if wanted.keep_old else "dropped"
    agree(
        f"The vectors are of {told(job.recorded)}. {done} {count_of(texts, 'text')} with {told(job.target)}? The"
        f" old vectors stay in use until the new ones are complete, and are {after} then.",
        yes=wanted.yes,
    )


def _fill_and_exchange(job: Job, wanted: ReembedOptions, new: "NewVectors", work: "Work") -> int:
    """Embed everything, and exchange the tables once nothing is left; return how many texts were embedded."""
    from openmemory.postgres.beside import KEPT
    from openmemory.postgres.servers import called

    if found := new.servers(job.logins.server_user):
        note(
            f"{called(found)} is connected ({sessions_told(found)}): it may serve on, and is to be stopped for the"
            " exchange"
        )
    with bar() as show:
        texts = work.run(work.rows.fill(show))
    new.complete(index_choice(job.settings), note)
    for _ in range(_TRIES):
        texts += work.run(work.rows.catch_up())
        found = new.servers(job.logins.server_user)
        if found and not wanted.ignore_sessions:
            raise ConfigurationError(
                f"every text is embedded, but {called(found)} is still connected: {sessions_told(found)}. It would go"
                " on to write vectors of the old model. Stop it and run `openmemory reembed` again, which takes"
                " moments; then start it with these settings. Where those are a pooler's sessions, or no server's:"
                " --ignore-sessions"
            )
        if new.exchange(job.target, keep=wanted.keep_old):
            return texts
    raise ConfigurationError(f"memories are written all the time, so the exchange finds no moment. {KEPT}")


def _tidy_after_another(job: Job, wanted: ReembedOptions, new: "NewVectors", names: "Names") -> None:
    """Finish what a run left when it was stopped after its exchange; mostly this is nothing."""
    is_left = new.is_untidied()
    if is_left and not wanted.dry_run:
        with working(job, names, wanted) as work:
            _tidy(job, new, work)
    done = "tidied up after a run that was stopped" if is_left else "nothing to do"
    what = {"moved": False, "texts": 0, "to": job.target, "tidied": is_left}
    say(what, f"{done}: the vectors are of {told(job.target)}", as_json=wanted.as_json)


def _tidy(job: Job, new: "NewVectors", work: "Work") -> None:
    """Grant the usual rights, and mark the quarantined vectors whose memories have one now."""
    from openmemory.postgres import roles

    roles.grant(job.logins.owner, job.names, job.logins.server_user)
    if new.has_quarantine():
        work.run(work.rows.repair())
    new.tidied()


def _finish(job: Job, wanted: ReembedOptions, texts: int, refused: "Sequence[Key]", seconds: float, kept: str) -> None:
    what = {
        "moved": True,
        "texts": texts,
        "refused": refused_facts(refused),
        "seconds": round(seconds, 3),
        "from": {name: job.recorded.get(name) for name in job.target},
        "to": job.target,
        "kept": kept if wanted.keep_old else None,
    }
    old = f"kept in schema {kept}" if wanted.keep_old else "dropped"
    pace = f"{texts / seconds:,.0f}/s" if seconds else ""
    line = f"{count_of(texts, 'text')} embedded in {seconds:,.0f} s ({pace}); the vectors are of {told(job.target)} now"
    line += f", the old ones are {old}. Start servers with these settings only."
    line += refused_told(
        refused, "was refused and is found by its words alone", "were refused and are found by their words alone"
    )
    say(what, line, as_json=wanted.as_json)


def _repair(job: Job, wanted: ReembedOptions) -> None:
    """Embed the memories whose old vectors an upgrade set aside."""
    from openmemory.postgres.beside import new_vectors
    from openmemory.postgres.reembedding import Beside

    if not job.is_there:
        raise ConfigurationError(
            f"--quarantined: the vectors in use are of {told(job.recorded)}, and the settings choose"
            f" {told(job.target)}. Set OM_EMBEDDINGS, OM_EMBED_MODEL, OM_VEC_DIM and OM_VEC_TYPE back to it; or move"
            " every memory to the settings' model with `openmemory reembed`, which repairs these as well"
        )
    names = Beside.of(job.names)
    with new_vectors(job.logins.owner, names) as new:
        if not new.has_quarantine():
            say(
                {"texts": 0, "refused": refused_facts([])},
                "nothing was set aside by an upgrade",
                as_json=wanted.as_json,
            )
            return
        with working(job, names, wanted) as work:
            found = work.run(work.rows.repair(dry_run=True))
            if wanted.dry_run:
                print_count(found, job.recorded, job.target, found.without_memory, as_json=wanted.as_json)
                return
            agree(f"Embed {count_of(found.texts, 'text')} whose old vectors were set aside?", yes=wanted.yes)
            with bar() as show:
                found = work.run(work.rows.repair(show))
            refused = work.rows.refused
    stay = f"; {found.without_memory:,} stay, for no memory has their id" if found.without_memory else ""
    what = {
        "texts": found.texts,
        "entries": found.entries,
        "refused": refused_facts(refused),
        "without_memory": found.without_memory,
    }
    line = f"{count_of(found.texts, 'memory')} repaired, {found.entries:,} entries of the quarantine marked so{stay}"
    if refused:
        line += "." + refused_told(refused, "was refused and stays set aside", "were refused and stay set aside")
    say(what, line, as_json=wanted.as_json)


def _abandon(logins: "Logins", names: "Names", wanted: ReembedOptions) -> None:
    """Drop what an unfinished run has made."""
    from openmemory.postgres.beside import new_vectors
    from openmemory.postgres.reembedding import Beside

    with new_vectors(logins.owner, Beside.of(names)) as new:
        begun = new.begun()
        if begun:
            agree(f"Drop the unfinished vectors of {told(begun)}?", yes=wanted.yes)
            new.abandon()
    line = "dropped; the vectors in use are as they were" if begun else "no run was begun; there is nothing to drop"
    say({"abandoned": bool(begun)}, line, as_json=wanted.as_json)
