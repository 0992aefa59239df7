"""A backup: pg_dump of one snapshot, which counts only when the rows in it are those of the snapshot."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import Connection, errors

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.asking import asked
from openmemory.postgres.backup.archive import digests_in, is_dump, rows_in
from openmemory.postgres.backup.programs import Program, Way, candidates, choose, running, way_of
from openmemory.postgres.backup.tables import Table, count, is_ours, label, refuse_hidden, tables_of
from openmemory.postgres.direct import patient
from openmemory.postgres.failures import first_line
from openmemory.postgres.statements import Names, statement

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True, slots=True)
class _Snapshot:
    id: str


_SNAPSHOT = statement("backup.snapshot", _Snapshot)


def our_tables(conninfo: Mapping[str, str], names: Names) -> list[str]:
    """Return the tables of OpenMemory that are there, as `dump` wants them: quoted, with their schema."""
    with patient(conninfo) as connection:
        return [table.quoted for table in tables_of(connection) if is_ours(table, names)]


def dump(
    conninfo: Mapping[str, str],
    file: Path,
    program: str | None = None,
    tables: Sequence[str] | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
    *,
    keep_same: bool = False,
) -> Mapping[str, int]:
    """Write the database, or only `tables` of it, to `file`, and return the rows of each table in it.

    They are counted in the file and equal those of the snapshot that was dumped; else there is no file and
    ConfigurationError tells why. A file that exists is never written over; with `keep_same` it stays and counts where
    it has the very same rows. `conninfo` must reach PostgreSQL directly.
    """
    programs = candidates(program)
    if os.path.lexists(file) and not (keep_same and is_dump(file)):
        raise _taken(file)
    with _explained(), patient(conninfo) as connection, _partial(file) as partial:
        way = way_of(conninfo, connection)
        chosen = choose(programs, way, connection.info.server_version // 10_000)
        with _snapshot(connection) as snapshot:
            wanted = _wanted(connection, tables)
            there = {}
            for table in wanted:
                on_progress(f"counting {table.label}")
                there[table.label] = count(connection, table)
            on_progress(f"writing {file}")
            _run(chosen, way, file, snapshot, tables)
        written = rows_in(partial, chosen, on_progress)
        _compare(there, {label(*table): number for table, number in written.items()})
        if keep_same and file.exists():
            on_progress(f"comparing it with {file}")
            _refuse_others(file, partial, chosen)
        else:
            _publish(partial, file)
    return there


def _taken(file: Path) -> ConfigurationError:
    return ConfigurationError(f"{file} exists already, and a backup is never written over; name another file")


def _refuse_others(file: Path, partial: Path, program: Program) -> None:
    """Raise ConfigurationError unless two dumps have the same rows: pg_dump reads a table in its order on disk."""
    if digests_in(file, program) != digests_in(partial, program):
        raise ConfigurationError(
            f"{file} exists already, is of other rows than are there now, and is never written over; name another file"
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (errors.Error, DatabaseUnavailable) as error:
        raise ConfigurationError(f"no backup was made: {first_line(error)}") from error


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """Yield a place beside `file` that only we can read; what is still there at the end goes."""
    partial = _partial_of(file)
    try:
        _remove_left(partial)
        own = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise _at_work(partial) from error
    except OSError as error:
        why = error.strerror if file.parent.is_dir() else f"there is no folder {file.parent}"
        raise ConfigurationError(f"{file} cannot be written: {why}") from error
    try:
        _hold(own, partial)
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)
    finally:
        os.close(own)


def _partial_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.partial")


def _remove_left(partial: Path) -> None:
    """Remove what a backup that was cut off has left, and not write it over: its pg_dump may be writing on."""
    try:
        left = os.open(partial, os.O_WRONLY)
    except FileNotFoundError:
        return
    try:
        _hold(left, partial)
        partial.unlink()
    finally:
        os.close(left)


def _hold(opened: int, partial: Path) -> None:
    """Hold the file while it is written: one that nobody holds was left by a backup that was cut off."""
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(opened), partial.stat())
    except (BlockingIOError, FileNotFoundError) as error:
        raise _at_work(partial) from error
    if not is_ours:
        raise _at_work(partial)


def _at_work(partial: Path) -> ConfigurationError:
    return ConfigurationError(f"{partial}: another backup is writing it; wait for that, or name another file")


@contextmanager
def _snapshot(connection: Connection) -> Iterator[str]:
    """Yield the name of a snapshot, under which this connection and pg_dump see the same rows."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            (snapshot,) = asked(connection, _SNAPSHOT)
        except errors.Error as error:
            raise ConfigurationError(f"the server exports no snapshot: {first_line(error)}") from error
        yield snapshot.id


def _wanted(connection: Connection, tables: Sequence[str] | None) -> list[Table]:
    there = tables_of(connection)
    if tables is not None:
        if missing := set(tables) - {table.quoted for table in there}:
            raise ConfigurationError(f"there is no table {', '.join(sorted(missing))} to back up")
        there = [table for table in there if table.quoted in tables]
    if not there:
        raise ConfigurationError(f"the database {connection.info.dbname} has no tables to back up")
    refuse_hidden(connection, there)
    return there


def _run(program: Program, way: Way, file: Path, snapshot: str, tables: Sequence[str] | None) -> None:
    options = [
        "--format=custom",
        "--compress=1",
        "--no-password",
        "--encoding=UTF8",
        f"--snapshot={snapshot}",
        f"--file={_partial_of(file)}",
    ]
    only = [f"--table={table}" for table in tables or ()]
    with running([program.dump, *options, *only, f"--dbname={way.dsn}"], way.environment) as writing:
        why = writing.failure()
    if why is not None:
        raise ConfigurationError(f"{file} was not written, for pg_dump gave up: {why}")


def _compare(there: Mapping[str, int], written: Mapping[str, int]) -> None:
    different = [name for name in sorted({*there, *written}) if there.get(name, 0) != written.get(name)]
    different = [name for name in different if name in there]  # what an extension keeps in its tables is its own
    if different:
        told = "; ".join(f"{name}: {written.get(name, 'none')} of {there[name]} rows" for name in different[:5])
        raise ConfigurationError(f"the dump is not whole, and was thrown away: {told}")


def _publish(partial: Path, file: Path) -> None:
    """Give the file its name, and have both survive a loss of power: pg_dump has synced what is in it."""
    try:
        _name(partial, file)
    except FileExistsError as error:
        raise ConfigurationError(f"{file} appeared meanwhile, and a backup is never written over") from error
    folder = os.open(file.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name(partial: Path, file: Path) -> None:
    """Rename a file to a name that is free; raises FileExistsError, and leaves what has the name, where it is not."""
    try:
        os.link(partial, file)
    except FileExistsError:
        raise
    except OSError as error:  # a disk that has no hard links; there a name that appears right now is written over
        if os.path.lexists(file):
            raise FileExistsError(file) from error
        partial.rename(file)
    else:
        partial.unlink()
