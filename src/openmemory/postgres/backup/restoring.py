"""A backup brought back: all of it in one transaction, counted before it is committed."""

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.backup.archive import (
    Archive,
    chosen,
    ensure_whole,
    owners,
    read,
    rows_of_copy,
    table_of,
)
from openmemory.postgres.backup.clearing import drop_tables
from openmemory.postgres.backup.prerequisites import make_missing
from openmemory.postgres.backup.programs import running
from openmemory.postgres.backup.tables import Replaced, Table, count, is_ours, label, tables_of
from openmemory.postgres.direct import holding, patient
from openmemory.postgres.event_triggers import explained_triggers
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import Names, schema_of_reembedding, schemas_of_upgrade, statement
from openmemory.postgres.upgrade.dependants import STAND_ON_IT, dependants
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import Plan

_PATIENCE = "10s"
_GO_WITH_IT = frozenset({"trigger", "publication"})
_PIECE_BYTES = 1 << 20
_ROLE = rb'(?:"((?:[^"]|"")+)"|([^"\s;]+))'
_RIGHTS = re.compile(rb"^(?:GRANT|REVOKE) .* (?:TO|FROM) " + _ROLE + rb"(?: WITH [^;]*)?;$", re.MULTILINE)
_META_COMMANDS = (b"\\restrict ", b"\\unrestrict ")
_TRANSACTION_TIMEOUT = 170_000


@dataclass(frozen=True, slots=True)
class _Here:
    login: str
    schemas: list[str]
    extensions: list[str]
    roles: list[str]
    memberships: list[str]


_HERE = statement("backup.here", _Here)
_DROP_BESIDE = statement("backup.drop_beside", type(None))
_DROP_HELPERS = statement("backup.drop_helpers", type(None))


def replaced(conninfo: Mapping[str, str], archive: Archive, names: Names) -> Replaced:
    """Return what is there that bringing `archive` back would replace or drop; changes nothing."""
    _ensure_ours(archive, names)
    with patient(conninfo) as connection, connection.transaction():
        going = _going(connection, archive, names)
        beside = set(_beside(names)) & set(_here(connection).schemas)
        layout = Layout(names, Plan(names.dimension))
        found = dependants(connection, layout, layout.kept) if layout.kept in beside else ()
        of_owner = [one for one in found if one.kind in STAND_ON_IT]
        # What goes with a table without a word: PostgreSQL refuses to drop it under the others.
        of_owner += [one for one in dependants(connection, layout, names.schema) if one.kind in _GO_WITH_IT]
        counted = {table.label: _counted(connection, table) for table in going}
        return Replaced(counted, tuple(sorted(beside)), tuple(of_owner))


def holds_tables_alone(archive: Archive, names: Names) -> bool:
    """Return whether a backup has a migrated database's tables without what they stand on, which must be there then."""
    is_migrated = label(names.schema, "openmemory_migrations") in archive.rows
    return is_migrated and not any(f" TYPE {names.schema} openmemory_textrange " in line for line in archive.contents)


def restore(
    conninfo: Mapping[str, str],
    file: Path,
    program: str | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
    *,
    names: Names,
    replace: bool,
    archive: Archive | None = None,
) -> Mapping[str, int]:
    """Bring `file` back into the database and return the rows of each table, which equal those in the file.

    Tables that are there already are replaced if `replace` says so, together with whatever an upgrade has made of
    them; ConfigurationError else. A failure leaves everything as it was. `conninfo` must reach PostgreSQL directly,
    as the owner of the tables; the tenants' role must be there, and gets its rights from `roles.grant` afterwards.
    `archive` is what `read` said of the file, where it was asked already.
    """
    archive = archive or read(file, program, on_progress)
    _ensure_ours(archive, names)
    with patient(conninfo) as connection, _explained(conninfo), holding(connection):
        _make_room(connection, archive, names, replace=replace)
        loaded = _load(connection, archive, names, file, on_progress)
        _compare(connection, archive.rows, loaded)
        on_progress("committing")
    return loaded


def gather_statistics(
    conninfo: Mapping[str, str], restored: Collection[str], on_progress: Callable[[str], None] = lambda _: None
) -> None:
    """Tell PostgreSQL's planner what is in the tables that `restore` returned."""
    with patient(conninfo) as connection:
        for table in tables_of(connection):
            if table.label in restored:
                on_progress(f"gathering statistics of {table.label}")
                connection.execute(f"ANALYZE {table.quoted}".encode())


def _ensure_ours(archive: Archive, names: Names) -> None:
    memories = label(names.schema, names.memories)
    if memories not in archive.rows:
        raise ConfigurationError(
            f"the file holds no table {memories}, so it is no backup of this OpenMemory (OM_PG_SCHEMA, OM_PG_TABLE)"
        )


def _make_room(connection: Connection, archive: Archive, names: Names, *, replace: bool) -> None:
    going = _going(connection, archive, names)
    schemas = set(_here(connection).schemas)
    beside = [name for name in _beside(names) if name in schemas]
    if (going or beside) and not replace:
        there = ", ".join([*(table.label for table in going), *beside])
        raise ConfigurationError(f"nothing was restored: the database holds {there} already. Say --yes to replace them")
    if going:
        connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'".encode())
        connection.execute(f"LOCK TABLE {', '.join(table.quoted for table in going)} IN ACCESS EXCLUSIVE MODE".encode())
    dropped = ", ".join(sql.Identifier(name).as_string() for name in _beside(names))
    connection.execute(_DROP_BESIDE.template.format(schemas=dropped).encode())
    drop_tables(connection, [table for table in going if table.schema not in beside], archive)
    if not holds_tables_alone(archive, names):
        connection.execute(names.render(_DROP_HELPERS.template).encode())


def _load(
    connection: Connection, archive: Archive, names: Names, file: Path, on_progress: Callable[[str], None]
) -> dict[str, int]:
    """Run the dump's script, without psql: so that it is this connection's transaction, TLS and password."""
    here = _here(connection)
    contents = chosen(archive.contents, here.extensions, here.schemas)
    has_owners = owners(contents) <= set(here.memberships)
    loaded: dict[str, int] = {}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".list") as listed:
        listed.write("\n".join(contents) + "\n")
        listed.flush()
        options = ["--clean", "--if-exists", "--file=-", f"--use-list={listed.name}"]
        options += [] if has_owners else ["--no-owner"]
        options += [] if _rights_apply(archive, file, here) else ["--no-privileges"]
        _create_schemas(connection, archive, contents, here)
        if holds_tables_alone(archive, names):
            make_missing(connection, names)
        with running([archive.program.restore, *options, file]) as reading:
            _play(connection, reading.stdout, file, loaded, on_progress)
            ensure_whole(reading, file)
    return loaded


def _play(
    connection: Connection, script: IO[bytes], file: Path, loaded: dict[str, int], on_progress: Callable[[str], None]
) -> None:
    pending: list[bytes] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if any(line.strip() for line in pending):
            connection.execute(b"".join(pending))
        pending.clear()
        size = 0

    on_progress("making the tables")
    for line in script:
        if named := table_of(line):
            table = label(*named)
            flush()
            on_progress(f"filling {table}")
            loaded[table] = loaded.get(table, 0) + _copy(connection, line, rows_of_copy(script, file))
            on_progress("making indexes and keys")
            continue
        if line.startswith(_META_COMMANDS) or _is_of_newer_server(line, connection):
            continue
        if size > _PIECE_BYTES and line.startswith(b"SELECT pg_catalog.lo"):
            flush()  # large objects, which need not fit into memory
        pending.append(line)
        size += len(line)
    flush()


def _copy(connection: Connection, command: bytes, rows: Iterator[bytes]) -> int:
    """Send the rows of a table and return how many PostgreSQL took."""
    cursor = connection.cursor()
    with cursor.copy(command.rstrip().rstrip(b";")) as copy:
        for piece in _pieces(rows):
            copy.write(piece)
    return cursor.rowcount


def _pieces(rows: Iterator[bytes]) -> Iterator[bytes]:
    piece: list[bytes] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += len(row)
        if size >= _PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)


def _compare(connection: Connection, wanted: Mapping[str, int], loaded: Mapping[str, int]) -> None:
    """Raise ConfigurationError if a table has not the rows that the file has; a count under RLS is COPY's own."""
    there = {table.label: table for table in tables_of(connection)}
    for name, rows in wanted.items():
        table = there.get(name)
        found = loaded.get(name, 0)
        if table is not None and not table.is_hidden:
            found = count(connection, table)
        if found != rows:
            raise ConfigurationError(f"nothing was restored: {name} got {found} of {rows} rows")


def _going(connection: Connection, archive: Archive, names: Names) -> list[Table]:
    return [table for table in tables_of(connection) if table.label in archive.rows or is_ours(table, names)]


def _counted(connection: Connection, table: Table) -> int | None:
    return None if table.is_hidden or not table.may_read else count(connection, table)


def _beside(names: Names) -> tuple[str, ...]:
    return (*schemas_of_upgrade(names.schema), schema_of_reembedding(names.schema))


def _here(connection: Connection) -> _Here:
    (here,) = asked(connection, _HERE)
    return here


def _create_schemas(connection: Connection, archive: Archive, contents: Sequence[str], here: _Here) -> None:
    """Make the schemas that a dump of chosen tables takes for granted."""
    made = {line.split(" - ", 1)[1].rsplit(" ", 1)[0] for line in contents if " SCHEMA - " in line}
    for name in sorted(archive.schemas - made - set(here.schemas)):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))


def _rights_apply(archive: Archive, file: Path, here: _Here) -> bool:
    """Return whether all roles that the dump grants to are here."""
    with running([archive.program.restore, "--schema-only", "--no-owner", "--file=-", file]) as reading:
        script = reading.stdout.read()
    named = {(quoted or plain).decode().replace('""', '"') for quoted, plain in _RIGHTS.findall(script)}
    return {name for name in named if name not in {"PUBLIC", "SESSION_USER", "CURRENT_USER"}} <= set(here.roles)


def _is_of_newer_server(line: bytes, connection: Connection) -> bool:
    """Return whether a line sets what only PostgreSQL 17 and newer know, as their programs do unasked."""
    return line.startswith(b"SET transaction_timeout") and connection.info.server_version < _TRANSACTION_TIMEOUT


@contextmanager
def _explained(conninfo: Mapping[str, str]) -> Iterator[None]:
    try:
        with explained_triggers("nothing was restored", conninfo, makes_functions=True):
            yield
    except errors.LockNotAvailable as error:
        raise ConfigurationError(
            "nothing was restored: other sessions use the tables. Stop the servers on this database, and try again"
        ) from error
    except errors.DependentObjectsStillExist as error:
        raise ConfigurationError(
            f"nothing was restored: {first_line(error)}. {(error.diag.message_detail or '').partition(chr(10))[0]};"
            " drop what depends on it first"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"nothing was restored: {first_line(error)}. Where that is another application's, `openmemory restore FILE"
            " --tables` brings back OpenMemory's tables alone; else ask an administrator to do it, or to run this. For"
            " the extension, CREATE EXTENSION vector in this database is enough"
        ) from error
    except errors.DiskFull as error:
        raise ConfigurationError(f"nothing was restored: the server's disk is full: {first_line(error)}") from error
    except errors.Error as error:
        raise ConfigurationError(
            f"nothing was restored: {first_line(error)} (SQLSTATE {error.sqlstate or 'none'})"
        ) from error
