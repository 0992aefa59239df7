"""What PostgreSQL refuses during an upgrade, as what the owner can do about it; never a value of a row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import LiteralString

import psycopg
from psycopg import Connection, errors, sql
from psycopg.rows import class_row

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres import versions
from openmemory.postgres.direct import connected
from openmemory.postgres.failures import first_line, is_cut
from openmemory.postgres.shared_indexes import too_large
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.upgrade.foretold import taken_names
from openmemory.postgres.upgrade.layout import LOCK_TIMEOUT, Layout

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
    errors.OutOfMemory: "Try a smaller --batch-size, or less maintenance_work_mem on the server",
    errors.DependentObjectsStillExist: "Something else stands on it: drop that first, or make it anew on other tables",
}
_VERSIONS = statement("roles.versions", versions.Versions)
_TABLES: LiteralString = (
    "SELECT array_agg(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND c.relname = ANY (%(tables)s)"
)
_LACKS: LiteralString = (
    "SELECT current_database(), current_user,"
    " has_database_privilege(current_database(), 'CREATE'), has_schema_privilege(%(schema)s, 'CREATE'),"
    " EXISTS (SELECT FROM pg_extension WHERE extname = 'vector'),"
    " EXISTS (SELECT FROM pg_available_extensions e JOIN pg_available_extension_versions v"
    " ON (v.name, v.version) = (e.name, e.default_version) JOIN pg_roles r ON r.rolname = current_user"
    " WHERE e.name = 'vector' AND v.superuser AND NOT v.trusted AND NOT r.rolsuper),"
    " EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s),"
    " (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user),"
    " EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s AND pg_has_role(oid,"
    " CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)),"
    " ARRAY(SELECT DISTINCT rolname::text FROM pg_class JOIN pg_roles r ON r.oid = relowner"
    " WHERE pg_class.oid = ANY (%(oids)s) AND NOT pg_has_role(relowner, 'USAGE') AND NOT rolsuper),"
    # Who becomes a member of a superuser is one.
    " ARRAY(SELECT relname::text FROM pg_class JOIN pg_roles r ON r.oid = relowner"
    " WHERE pg_class.oid = ANY (%(oids)s) AND NOT pg_has_role(relowner, 'USAGE') AND rolsuper)"
)
_HOLDERS: LiteralString = (
    "SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.state, '') FROM pg_locks l"
    " JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.granted AND l.relation = ANY (%s) AND a.pid <> pg_backend_pid()"
)


def check_versions(connection: Connection) -> None:
    """Refuse a PostgreSQL before 15, and a pgvector before 0.8.0 where one is installed, with the remedy."""
    with connection.cursor(row_factory=class_row(versions.Versions)) as cursor:
        found = cursor.execute(_VERSIONS.template.encode()).fetchone()
    if found and (found.pgvector or found.server < versions.OLDEST_SERVER):
        versions.check_versions(found)


def refuse_taken_names(connection: Connection, layout: Layout) -> None:
    """Raise ConfigurationError where something of the owner's has a name that a new table needs."""
    if taken := taken_names(connection, layout, is_staged=True):
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
        yield
    except ConfigurationError as error:
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
            return f"{said}. {remedy}"
    match error:
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
    except errors.LockNotAvailable as error:
        raise ConfigurationError(f"the look: {_remedy(error, conninfo, names)}. {_UNCHANGED}") from error
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(_rights("the look", error, conninfo, names, _UNCHANGED)) from error


def _lacking(connection: Connection, names: Names, *, beforehand: bool = False) -> list[str]:
    """Return the statements that give the login what it lacks; `beforehand` only what is certain to be needed.

    Who may create in the database may install an extension that is trusted, as pgvector mostly is; whether a role is
    wanted shows when it is.
    """
    params = {"schema": names.schema, "role": names.app_role, "oids": _old_tables(connection, names)}
    row = connection.execute(_LACKS, params).fetchone()
    if row is None:
        return []
    database, login, in_database, in_schema, extension, untrusted, role, may_make_roles, member, owners, tables = row
    to = sql.Identifier(login)
    may_become = member or (may_make_roles and not role)
    app_role, schema = sql.Identifier(names.app_role), sql.Identifier(names.schema)
    asked = [
        *(sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), to) for owner in owners),
        *(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(names.schema, name), to) for name in tables),
        *([] if in_database else [sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), to)]),
        *([] if in_schema else [sql.SQL("GRANT CREATE ON SCHEMA {} TO {}").format(schema, to)]),
        *([] if extension or (beforehand and in_database and not untrusted) else [sql.SQL("CREATE EXTENSION vector")]),
    ]
    roles_asked = [
        *([] if role or may_make_roles else [sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(app_role)]),
        *([] if may_become else [sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(app_role, to)]),
    ]
    return [statement.as_string() for statement in (asked if beforehand else [*asked, *roles_asked])]


def _old_tables(connection: Connection, names: Names) -> list[int]:
    tables = [names.memories, names.vectors, "openmemory_waypoints", "openmemory_users", "temporal_facts"]
    row = connection.execute(_TABLES, {"schema": names.schema, "tables": tables}).fetchone()
    return list(row[0] or []) if row else []


def _holders(conninfo: Mapping[str, str], names: Names) -> str:
    with suppress(psycopg.Error, DatabaseUnavailable), connected(conninfo) as connection:
        found = connection.execute(_HOLDERS, [_old_tables(connection, names)]).fetchall()
        if found:
            listed = ", ".join(f"pid {pid} {name!r} ({state})" for pid, name, state in found)
            return f" on the old tables: {listed}"
    return ""
