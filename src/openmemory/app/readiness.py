"""The database made ready: its tables there and up to date, its vectors of this embedder, its roles safe."""

from collections.abc import Callable
from dataclasses import dataclass

from openmemory.adapters.embedders import Embedder
from openmemory.app.embedding import names
from openmemory.app.logins import Logins, OnEvent
from openmemory.errors import ConfigurationError
from openmemory.postgres import migrate, registry, roles
from openmemory.postgres.direct import in_turn
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.look import elsewhere
from openmemory.postgres.upgrade.standing import refuse_half_done
from openmemory.service.compatibility import check_facts, facts_of
from openmemory.settings import Settings


@dataclass(frozen=True, slots=True)
class Readied:
    """A database that may be served, and what the operator should know about it."""

    logins: Logins
    names: Names
    warnings: tuple[str, ...] = ()


def bring_up_to_date(
    logins: Logins, tables: Names, embedder: Embedder, on_step: Callable[[migrate.Migration], None] = lambda _: None
) -> list[migrate.Migration]:
    """Migrate the database, give the roles their rights, record the embedder; return what was applied."""
    with in_turn(logins.owner):
        return _bring_up(logins, tables, embedder, on_step)


def _bring_up(
    logins: Logins, tables: Names, embedder: Embedder, on_step: Callable[[migrate.Migration], None] = lambda _: None
) -> list[migrate.Migration]:
    status = migrate.status(logins.owner, tables)
    if status.is_foreign:
        return migrate.migrate(logins.owner, tables, on_step)
    if not status.is_empty:
        check_facts(registry.facts(logins.owner, tables), facts_of(tables, embedder))
    roles.prepare_app_role(logins.owner, tables)
    applied = migrate.migrate(logins.owner, tables, on_step)
    roles.grant(logins.owner, tables, logins.server_user)
    registry.record_facts(logins.owner, tables, facts_of(tables, embedder))
    return applied


def make_ready(settings: Settings, logins: Logins, embedder: Embedder, on_event: OnEvent = lambda _: None) -> Readied:
    """Return a database that is safe to serve; an empty one is given its tables first.

    Raises ConfigurationError where migrations are pending, the embedder is another than the one that made the
    stored vectors, or the roles would not keep tenants apart.
    """
    tables = names(settings, embedder)
    with in_turn(logins.server, on_event):
        status = migrate.status(logins.server, tables)
        if status.is_empty and not status.is_foreign:
            _refuse_beside_old(logins, tables)
            on_event("creating the tables")
            _bring_up(logins, tables, embedder)
            status = migrate.status(logins.server, tables)
    if status.is_foreign:
        raise ConfigurationError(
            f"schema {tables.schema} holds tables of an older OpenMemory; `openmemory migrate` looks at them, asks, and"
            " moves them (`openmemory migrate --dry-run` only looks)"
        )
    elif status.pending:
        listed = ", ".join(migration.name for migration in status.pending)
        raise ConfigurationError(f"migrations are pending ({listed}); run `openmemory migrate`")
    refuse_half_done(logins.server, tables)
    check_facts(registry.facts(logins.server, tables), facts_of(tables, embedder))
    return Readied(logins, tables, tuple(roles.check(logins.server, tables, owner_serves=logins.server_user is None)))


def _refuse_beside_old(logins: Logins, tables: Names) -> None:
    """Raise ConfigurationError where an older OpenMemory's tables lie in another schema: this one may be a slip."""
    if others := elsewhere(logins.owner, tables, only_old=True):
        listed = ", ".join(dict.fromkeys(one.schema for one in others))
        raise ConfigurationError(
            f"schema {tables.schema} holds nothing, but {listed} has tables of an older OpenMemory. Set"
            f" {others[0].settings(tables)}; or have new, empty tables made in {tables.schema}: `openmemory migrate`"
        )
