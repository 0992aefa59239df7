"""Bring an empty or older database of ours to the newest schema, by numbered SQL files."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

from psycopg import Connection, errors

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import alone, connected, find_types, permitted
from openmemory.postgres.event_triggers import explained_triggers
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import Names, statement

_NO_TRANSACTION = "-- no transaction"
_PATTERN = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file as shipped, before names are substituted."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def template(self) -> str:
        """The file as it is run: a database's encoding may lack what is not ASCII, which only a comment has."""
        return self.text.encode("ascii", "replace").decode()

    @property
    def in_transaction(self) -> bool:
        """Whether the file runs in one transaction; CREATE INDEX CONCURRENTLY, for one, may not."""
        return not self.text.startswith(_NO_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration as the database remembers it."""

    number: int
    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    is_empty: bool
    """No table of ours is there, from any version."""
    is_foreign: bool
    """Tables under our names exist that no migration of ours made: an older OpenMemory."""


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


_TABLES = statement("migrate.tables", _Name)
_SCHEMA = statement("migrate.schema", _Name)
_APPLIED = statement("migrate.applied", Applied)
_CREATE_SCHEMA = statement("migrate.create_schema", type(None))
_CREATE = statement("migrate.create", type(None))
_RECORD = statement("migrate.record", type(None))


def shipped() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    folder = files("openmemory.postgres") / "migrations"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if _PATTERN.fullmatch(entry.name))
    return tuple(Migration(int(name[:4]), name, entry.read_text(encoding="utf-8")) for name, entry in found)


def statements_of(script: str) -> list[str]:
    """Return the statements of a file: each ends with a semicolon at a line's end."""
    lines = [line for line in script.splitlines(keepends=True) if not line.lstrip().startswith("--")]
    return [part.strip() for part in re.split(r"(?<=;)\n", "".join(lines)) if part.strip()]


def status(conninfo: Mapping[str, str], names: Names) -> Status:
    """Return what is applied and what is pending; changes nothing.

    Raises ConfigurationError if an applied migration is not the one this version ships.
    """
    with connected(conninfo) as connection, permitted():
        return _status(connection, names, shipped())


def migrate(
    conninfo: Mapping[str, str],
    names: Names,
    on_step: Callable[[Migration], None] = lambda _: None,
    migrations: Sequence[Migration] | None = None,
) -> list[Migration]:
    """Apply what is pending, one process at a time, and return it.

    `conninfo` must reach PostgreSQL directly: the search path is the session's, which a transaction pooler changes.
    Each file is one transaction unless its first line is "-- no transaction"; such a file must be safe to repeat,
    for it is recorded after it succeeded.
    """
    known = shipped() if migrations is None else tuple(migrations)
    with alone(conninfo) as ensure_alone, connected(conninfo) as connection:
        current = _status(connection, names, known)
        if current.is_foreign:
            raise ConfigurationError(
                f"schema {names.schema} holds tables of an older OpenMemory, which `openmemory migrate` moves; nothing"
                " was changed"
            )
        if not current.applied:
            _create_history(connection, names, conninfo)
        for migration in current.pending:
            on_step(migration)
            find_types(connection, names.schema)
            with _explained(migration.name, names, conninfo):
                _apply(connection, names, migration, ensure_alone)
        return list(current.pending)


def _status(connection: Connection, names: Names, known: Sequence[Migration]) -> Status:
    tables = {table.name for table in asked(connection, _TABLES, schema=names.schema)}
    ours = {names.memories, names.vectors, "openmemory_users", "openmemory_waypoints", "temporal_facts"}
    if "openmemory_migrations" not in tables:
        return Status((), tuple(known), is_empty=True, is_foreign=bool(tables & ours))
    applied = tuple(asked(connection, _APPLIED, names.render(_APPLIED.template).encode()))
    _check_history(applied, known)
    done = {entry.number for entry in applied}
    pending = tuple(migration for migration in known if migration.number not in done)
    # A first migration that was refused leaves the history alone.
    return Status(applied, pending, is_empty=not applied, is_foreign=not applied and bool(tables & ours))


def _check_history(applied: Sequence[Applied], known: Sequence[Migration]) -> None:
    by_number = {migration.number: migration for migration in known}
    for entry in applied:
        migration = by_number.get(entry.number)
        if migration is None:
            raise ConfigurationError(
                f"the database was migrated by a newer version: {entry.name} is not known here; upgrade this server"
            )
        if migration.checksum != entry.checksum:
            raise ConfigurationError(
                f"{entry.name} was applied with another text than this version ships; restore the file, or move the"
                " data to a fresh database"
            )


def _create_history(connection: Connection, names: Names, conninfo: Mapping[str, str]) -> None:
    with _explained("the table of migrations", names, conninfo), connection.transaction():
        # IF NOT EXISTS would ask for the right to create one all the same.
        if not asked(connection, _SCHEMA, schema=names.schema):
            connection.execute(names.render(_CREATE_SCHEMA.template).encode())
        connection.execute(names.render(_CREATE.template).encode())


def _apply(connection: Connection, names: Names, migration: Migration, ensure_alone: Callable[[], None]) -> None:
    query = names.render(migration.template).encode()
    record = names.render_with_params(_RECORD.template)
    entry = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
    if migration.in_transaction:
        with connection.transaction():
            connection.execute(query)
            connection.execute(record, entry)
            ensure_alone()
    else:
        for part in statements_of(query.decode()):
            connection.execute(part.encode())
        ensure_alone()
        connection.execute(record, entry)


@contextmanager
def _explained(step: str, names: Names, conninfo: Mapping[str, str]) -> Iterator[None]:
    """Turn a refusal of PostgreSQL into what an owner has to do about it."""
    try:
        with explained_triggers(step, conninfo):
            yield
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"{step}: {first_line(error)}. Ask the database's administrator for: GRANT CREATE ON SCHEMA"
            f" {names.schema} (ON DATABASE, if there is no such schema yet) and CREATE EXTENSION vector; a superuser"
            " is neither needed nor wise to serve as"
        ) from error
    except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
        raise ConfigurationError(
            f"{step}: {first_line(error)}. Install pgvector 0.8.0 or newer on the PostgreSQL server"
        ) from error
    except errors.Error as error:
        raise ConfigurationError(f"{step}: {first_line(error)} (SQLSTATE {error.sqlstate})") from error
