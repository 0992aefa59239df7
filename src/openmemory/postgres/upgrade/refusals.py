"""What PostgreSQL refuses during an upgrade, as what the owner can do about it; never a value of a row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres import versions
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import connected
from openmemory.postgres.event_triggers import explained_triggers
from openmemory.postgres.failures import first_line, is_cut
from openmemory.postgres.hindrances import hindrance
from openmemory.postgres.shared_indexes import too_large
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade.foretold import taken_names
from openmemory.postgres.upgrade.layout import LOCK_TIMEOUT, Layout
from openmemory.postgres.upgrade.questions import Questions

TAKEN = (
    "schema {} has something else under a name of the new tables: {}. Rename it (ALTER TABLE or ALTER INDEX … RENAME TO"
    " another name), and run this again"
)
KEPT = "What was done is recorded; `openmemory migrate` goes on from there"
_UNCHANGED = "Nothing was changed"
_NAMED = 5
_NEVER = "Not SUPERUSER, which would switch row-level security off"
LACKING = (
    "the login lacks rights that the upgrade needs. Ask an administrator, in this database, for: {}."
    f" {_NEVER}. {_UNCHANGED}"
)
_REMEDIES: Mapping[type[psycopg.Error], str] = {
    errors.DiskFull: "Free room on the server's disk: old and new tables lie side by side until `--drop-bytea`",
    # Which that is PostgreSQL says in the detail, which here quotes no value.
    errors.DependentObjectsStillExist: "Something else stands on it ({}): drop that first, or make it anew on other"
    " tables",
    errors.OutOfMemory: "Try a smaller --batch-size, or less maintenance_work_mem on the server",
}
_VERSIONS = statement("roles.versions", versions.Versions)


@dataclass(frozen=True, slots=True)
class _Oid:
    oid: int


@dataclass(frozen=True, slots=True)
class _Rights:
    """What the login may, of what an upgrade needs, and what of the old tables is another's."""

    database: str
    login: str
    may_create_in_database: bool
    may_create_in_schema: bool
    has_extension: bool
    extension_is_untrusted: bool
    has_app_role: bool
    may_make_roles: bool
    may_act_as_app_role: bool
    other_owners: list[str]
    tables_of_superusers: list[str]


@dataclass(frozen=True, slots=True)
class _Holder:
    pid: int
    application: str
    state: str


_OLD_TABLES = statement("upgrade/refusals.old_tables", _Oid)
_RIGHTS = statement("upgrade/refusals.rights", _Rights)
_HOLDERS = statement("upgrade/refusals.holders", _Holder)


def check_versions(connection: Connection) -> None:
    """Refuse a PostgreSQL before 15, and a pgvector before 0.8.0 where one is installed, with the remedy."""
    (found,) = asked(connection, _VERSIONS)
    if found.pgvector or found.server < versions.OLDEST_SERVER:
        versions.check_versions(found)


def refuse_taken_names(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError where something of the owner's has a name that a new table needs."""
    if taken := taken_names(Questions(connection, layout), is_staged=True):
        raise ConfigurationError(f"{TAKEN.format(layout.names.schema, ', '.join(taken))}. {KEPT}")


def refuse_unfit_tenants(found: Sequence[str]) -> None:
    """Raise ConfigurationError where the rows of several tenants would share one: those that are `found`, if any."""
    if found:
        listed = ", ".join(repr(name) for name in found[:_NAMED])
        raise ConfigurationError(
            f"old rows are of {len(found):,} tenants whose names no request may bring (a comma, blanks at"
            f" the ends, over 128 bytes, invisible characters), so that they would share a tenant: {listed}. Give each"
            " another name first, in every old table: UPDATE … SET tenant_id = 'new' WHERE tenant_id = 'old'. Nothing"
            " was changed"
        )


@contextmanager
def explained(step: str, conninfo: Mapping[str, str], names: Names) -> Iterator[None]:
    """Turn the driver's errors into ConfigurationError, or DatabaseUnavailable where the connection is lost.

    `step` is one, which goes on when it is run again, or an option such as --down, which is one transaction.
    """
    after = _UNCHANGED if step.startswith("--") else KEPT
    try:
        with explained_triggers(step, conninfo, after):
            yield
    except ConfigurationError as error:
        if isinstance(error.__cause__, errors.ConfigurationLimitExceeded | errors.ReadOnlySqlTransaction):
            # From a connection beside the step's own.
            raise ConfigurationError(f"{step}: {error.detail}. {after}") from error
        # The roles and the migrations explain themselves, each for itself; here all that lacks is asked for at once.
        if not isinstance(error.__cause__, errors.InsufficientPrivilege):
            raise
        raise ConfigurationError(_rights(step, error.__cause__, conninfo, names, after)) from error
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(_rights(step, error, conninfo, names, after)) from error
    except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
        if "extension" not in first_line(error):
            raise ConfigurationError(f"{step}: {_remedy(error, conninfo, names)}. {after}") from error
        raise ConfigurationError(
            f"{step}: {first_line(error)}. Install pgvector 0.8.0 or newer on the PostgreSQL server. {after}"
        ) from error
    except DatabaseUnavailable as error:
        # From a connection beside the step's own, such as the one that reads the old vectors.
        raise DatabaseUnavailable(f"{step}: {error.detail}. {after}") from error
    except psycopg.Error as error:
        if is_cut(error):
            raise DatabaseUnavailable(f"{step}: the connection was lost: {first_line(error)}. {after}") from error
        # Rows that do not add up have a way out of their own, which is to begin again.
        more = "" if isinstance(error, errors.DataCorrupted) else f". {after}"
        raise ConfigurationError(f"{step}: {_remedy(error, conninfo, names)}{more}") from error


def _remedy(error: psycopg.Error, conninfo: Mapping[str, str], names: Names) -> str:
    """Return what was refused and what to do about it."""
    said = first_line(error)
    for kind, remedy in _REMEDIES.items():
        if isinstance(error, kind):
            return f"{said}. {remedy.format('; '.join((error.diag.message_detail or '').splitlines()[:_NAMED]))}"
    match error:
        case errors.ConfigurationLimitExceeded() | errors.ReadOnlySqlTransaction():
            with suppress(psycopg.Error, DatabaseUnavailable), connected(conninfo) as connection:
                return hindrance(connection, error)
        case errors.ProgramLimitExceeded() if "maintenance_work_mem" in said:
            return too_large(error)
        case errors.LockNotAvailable():
            return f"{said}. A live session holds a lock{_holders(conninfo, names)}; end it, or wait for it"
        case errors.DataError():
            # Its message quotes the value; the name of the condition does not.
            return f"PostgreSQL refuses a value: {type(error).__name__} (SQLSTATE {error.sqlstate})"
    hint = f". {error.diag.message_hint.rstrip('.')}" if error.diag.message_hint else ""
    return f"{said} (SQLSTATE {error.sqlstate}){hint}"


def _rights(step: str, error: psycopg.Error, conninfo: Mapping[str, str], names: Names, after: str) -> str:
    """Return the statements that an administrator has to run, all at once."""
    wanted: list[str] = []
    with suppress(psycopg.Error, DatabaseUnavailable), connected(conninfo) as connection:
        wanted = _lacking(connection, names)
    ask = "; ".join(wanted) or "the rights that the owner of the old tables has"
    return f"{step}: {first_line(error)}. Ask an administrator, in this database, for: {ask}. {_NEVER}. {after}"


def lacking_rights(conninfo: Mapping[str, str], names: Names) -> list[str]:
    """Return the statements that give the login what an upgrade cannot do without, and it has not."""
    with connected(conninfo) as connection:
        return _lacking(connection, names, beforehand=True)


@contextmanager
def not_kept_waiting(connection: Connection, conninfo: Mapping[str, str], names: Names) -> Iterator[None]:
    """Wait for no lock longer than the steps do; raise ConfigurationError that names who holds it, or what lacks."""
    connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'".encode())
    try:
        yield
    except (errors.LockNotAvailable, errors.ConfigurationLimitExceeded) as error:
        raise ConfigurationError(f"the look: {_remedy(error, conninfo, names)}. {_UNCHANGED}") from error
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(_rights("the look", error, conninfo, names, _UNCHANGED)) from error


def _lacking(connection: Connection, names: Names, *, beforehand: bool = False) -> list[str]:
    """Return the statements that give the login what it lacks; `beforehand` only what is certain to be needed.

    Who may create in the database may install an extension that is trusted, as pgvector mostly is; whether a role is
    wanted shows when it is.
    """
    oids = _old_tables(connection, names)
    (has,) = asked(connection, _RIGHTS, schema=names.schema, app_role=names.app_role, oids=oids)
    to, app_role, schema = (sql.Identifier(name) for name in (has.login, names.app_role, names.schema))
    extension = has.has_extension or (beforehand and has.may_create_in_database and not has.extension_is_untrusted)
    may_become = has.may_act_as_app_role or (has.may_make_roles and not has.has_app_role)
    wanted = [sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), to) for owner in has.other_owners]
    for table in has.tables_of_superusers:
        wanted.append(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(names.schema, table), to))
    if not has.may_create_in_database:
        wanted.append(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(has.database), to))
    if not has.may_create_in_schema:
        wanted.append(sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(schema, to))
    if not extension:
        wanted.append(sql.SQL("CREATE EXTENSION vector").format())
    if not (beforehand or has.has_app_role or has.may_make_roles):
        wanted.append(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(app_role))
    if not (beforehand or may_become):
        wanted.append(sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(app_role, to))
    return [one.as_string() for one in wanted]


def _old_tables(connection: Connection, names: Names) -> list[int]:
    tables = [names.memories, names.vectors, "openmemory_waypoints", "openmemory_users", "temporal_facts"]
    return [one.oid for one in asked(connection, _OLD_TABLES, schema=names.schema, tables=tables)]


def _holders(conninfo: Mapping[str, str], names: Names) -> str:
    with suppress(psycopg.Error, DatabaseUnavailable), connected(conninfo) as connection:
        if found := asked(connection, _HOLDERS, oids=_old_tables(connection, names)):
            listed = ", ".join(f"pid {one.pid} {one.application!r} ({one.state})" for one in found)
            return f" on the old tables: {listed}"
    return ""
