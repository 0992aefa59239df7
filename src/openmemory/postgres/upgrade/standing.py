"""How an upgrade stands, and what it left: read from its record and from the tables that it made."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg import Connection, errors

from openmemory.errors import ConfigurationError
from openmemory.postgres import locks
from openmemory.postgres.direct import connected, patient, permitted
from openmemory.postgres.registry import facts
from openmemory.postgres.servers import servers
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.found import Session
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.questions import Count, Questions


@dataclass(frozen=True, slots=True)
class Aside:
    """Rows that were set aside for one reason."""

    source: str
    reason: str
    count: int
    first_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table and the disk that it holds."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class _Blocks:
    """How long the old table of `what` is."""

    what: str
    count: int


_ASIDE = statement("upgrade/standing.aside", Aside)
_KEPT = statement("upgrade/standing.kept", _Kept)
_BLOCKS = statement("upgrade/standing.blocks", _Blocks)
_REPAIRED = statement("upgrade/standing.repaired", Count)
_NAME_MODEL = statement("upgrade/standing.name_model", type(None))


def aside(conninfo: Mapping[str, str], names: Names) -> list[Aside]:
    """Return what an upgrade set aside, by table and reason."""
    with patient(conninfo) as connection, permitted():
        if not record.read(connection, names):
            return []
        return _questions(connection, names).all(_ASIDE)


def kept_bytes(conninfo: Mapping[str, str], names: Names) -> dict[str, int]:
    """Return the disk that the old tables hold which an upgrade put aside, {} where there are none."""
    with connected(conninfo) as connection, permitted():
        return {table.name: table.bytes for table in _questions(connection, names).all(_KEPT)}


def parts_done(conninfo: Mapping[str, str], names: Names, recorded: Mapping[str, str]) -> dict[str, float]:
    """Return which part of each old table an unfinished upgrade has read, of 0 to 1."""
    with connected(conninfo) as connection, permitted():
        blocks_of = {old.what: old.count for old in _questions(connection, names).all(_BLOCKS)}
    return {
        what: min(1.0, int(recorded.get(f"{what}_block", "0")) / count if count else 1.0)
        for what, count in blocks_of.items()
    }


def serving(conninfo: Mapping[str, str], names: Names, login: str | None) -> tuple[Session, ...]:
    """Return the sessions that are a server's or may be; `login` is the server's by the settings."""
    with connected(conninfo) as connection, permitted():
        return servers(connection, names, login)


def refuse_beside(conninfo: Mapping[str, str], names: Names) -> None:
    """Raise ConfigurationError where another migrator is at work on the database, or a step in psql."""
    with connected(conninfo) as connection, permitted():
        locks.refuse_beside(connection)


def repaired(conninfo: Mapping[str, str], names: Names) -> int:
    """Return how many vectors that an upgrade set aside were made anew since."""
    with patient(conninfo) as connection, permitted():
        if not record.read(connection, names):
            return 0
        return _questions(connection, names).one(_REPAIRED).count


def refuse_half_done(conninfo: Mapping[str, str], names: Names) -> None:
    """Raise ConfigurationError where the new tables are in place, but the upgrade's last step is not over.

    Its record is the owner's to read. A login that may not serves on what the owner has granted it, in that last step.
    """
    with connected(conninfo) as connection, suppress(errors.InsufficientPrivilege):
        recorded = record.read(connection, names)
        if recorded and recorded.get("step") != record.DONE:
            raise ConfigurationError(
                f"the upgrade of schema {names.schema} was begun and is not finished; `openmemory migrate` goes on"
            )


def made_by(conninfo: Mapping[str, str], names: Names) -> str:
    """Return the model and the dimension of the vectors in use."""
    found = facts(conninfo, names)
    return f"{found.get('embedding_model', 'unknown')} ({found.get('embedding_dimension', 'unknown')} dimensions)"


def name_model(conninfo: Mapping[str, str], names: Names, model: str) -> None:
    """Record which model made the vectors of a lifted database."""
    with connected(conninfo) as connection, permitted():
        asking = _questions(connection, names)
        asking.run(_NAME_MODEL, name_text=Layout.literal(model))
        if record.read(connection, names):
            record.write(connection, asking.layout, {"embedding_model": model})


def _questions(connection: Connection, names: Names) -> Questions:
    return Questions(connection, Layout(names, Plan(names.dimension)))
