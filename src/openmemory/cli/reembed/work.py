"""The database of `openmemory reembed`, the model to move to, and the work with its event loop."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from openmemory.cli.printing import progress
from openmemory.errors import ConfigurationError, DatabaseUnavailable, EmbedderUnavailable

if TYPE_CHECKING:
    from openmemory.adapters.embedders import Embedder
    from openmemory.app import Logins
    from openmemory.postgres.statements import Names
    from openmemory.service.reembedding import Reembedding
    from openmemory.settings import Settings

Result = TypeVar("Result")

# A provider with a limit for each minute asks to wait for the rest of the minute.
_PATIENCE_S = 120
_POOL = 4
_STATEMENT_TIMEOUT_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReembedOptions:
    """What the command line asks for."""

    quarantined: bool
    dry_run: bool
    keep_old: bool
    abandon: bool
    ignore_sessions: bool
    batch_size: int
    yes: bool
    as_json: bool

    def check(self) -> None:
        """Raise typer.BadParameter where options contradict each other."""
        for said, flag in ((self.keep_old, "--keep-old"), (self.ignore_sessions, "--ignore-sessions")):
            if said and (self.quarantined or self.abandon):
                raise typer.BadParameter("is for moving every vector; leave it out here", param_hint=flag)
        if self.abandon and (self.quarantined or self.dry_run):
            raise typer.BadParameter("stands alone", param_hint="--abandon")


@dataclass(frozen=True, slots=True)
class Job:
    """The database, and the model that its vectors are moved to."""

    settings: "Settings"
    logins: "Logins"
    names: "Names"
    embedder: "Embedder"
    recorded: dict[str, str]

    @property
    def target(self) -> dict[str, str]:
        """Return what the database will record."""
        return {
            "embedding_model": self.embedder.name,
            "embedding_dimension": str(self.names.dimension),
            "embedding_type": self.names.vector_type,
        }

    @property
    def is_there(self) -> bool:
        """Whether the vectors in use are of the settings' model already."""
        return all(self.recorded.get(name) == value for name, value in self.target.items())


def job_of(settings: "Settings", logins: "Logins") -> Job:
    """Return the database of the settings; raises ConfigurationError where nothing can be moved."""
    from openmemory import app
    from openmemory.postgres import migrate, registry
    from openmemory.postgres.upgrade.standing import refuse_half_done

    if settings.embeddings.embedder == "none":
        raise ConfigurationError(
            "OM_EMBEDDINGS=none makes no vectors, so there is no model to move to; choose one (OM_EMBEDDINGS=static, or"
            " openai with OM_EMBED_MODEL)"
        )
    with progress("looking at the database") as on_event:
        embedder = app.create_embedder(settings, on_event, patience_s=_PATIENCE_S)
        names = app.names(settings, embedder)
        status = migrate.status(logins.owner, names)
        if status.is_foreign or status.is_empty or status.pending:
            raise ConfigurationError(
                f"schema {names.schema} is not at this version's schema yet; run `openmemory migrate` first"
            )
        refuse_half_done(logins.owner, names)
        job = Job(settings, logins, names, embedder, registry.facts(logins.owner, names))
    for option, own, name in (
        ("OM_PG_TABLE", names.memories, "memories"),
        ("OM_VECTOR_TABLE", names.vectors, "vectors"),
    ):
        if (there := job.recorded.get(f"{name}_table", own)) != own:
            raise ConfigurationError(f"this schema was made with {option}={there}; set it back")
    return job


@dataclass(frozen=True, slots=True)
class Work:
    """The reembedding service, and the event loop that runs only while a piece of its work does."""

    rows: "Reembedding"
    runner: asyncio.Runner

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns; an error also says that the finished work is kept."""
        from openmemory.postgres.beside import KEPT

        try:
            return self.runner.run(work)
        except (EmbedderUnavailable, DatabaseUnavailable) as error:
            raise type(error)(f"{error.detail}. {KEPT}") from error


@contextmanager
def working(job: Job, names: "Names", wanted: ReembedOptions) -> Iterator[Work]:
    """Yield the work on a pool of its own, as the database's owner."""
    from openmemory.adapters.embedders import OpenAIEmbedder
    from openmemory.postgres.database import Database
    from openmemory.postgres.pool import PoolLimits
    from openmemory.postgres.servers import REEMBED
    from openmemory.service.reembedding import Reembedding

    conninfo = {**job.logins.owner, "application_name": REEMBED}
    database = Database(conninfo, names, PoolLimits(_POOL), _STATEMENT_TIMEOUT_MS, behind_pooler=False)
    with asyncio.Runner() as runner:
        runner.run(database.open())
        try:
            yield Work(Reembedding(database, job.embedder, wanted.batch_size), runner)
        finally:
            runner.run(database.close())
            if isinstance(job.embedder, OpenAIEmbedder):
                runner.run(job.embedder.aclose())
