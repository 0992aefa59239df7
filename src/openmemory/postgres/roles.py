"""Roles and rights: made by the owner at migration, and checked before anything is served."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg import Connection, errors, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked, first
from openmemory.postgres.direct import connected, extension_schema, holding
from openmemory.postgres.failures import first_line
from openmemory.postgres.protection import UNPROTECTED, check_login_rights, check_tables
from openmemory.postgres.statements import Names, statement
from openmemory.postgres.versions import Versions, check_versions

_MEMBERSHIPS_HAVE_OPTIONS = 160000


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    is_superuser: bool
    bypasses_rls: bool
    unbound: str | None
    may_become: bool
    is_inherited: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    yes: bool


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


_ROLE = statement("roles.role", _Role)
_VERSIONS = statement("roles.versions", Versions)
_MAY_BECOME = statement("roles.may_become", _Answer)
_MAY_USE = statement("roles.may_use", _Answer)
_OTHER_ROLES = statement("roles.other_roles", _Name)
_SEQUENCES = statement("roles.sequences", _Name)


def prepare_app_role(conninfo: Mapping[str, str], names: Names) -> None:
    """Create the tenants' role if it is not there, and let the owner act as it.

    Raises ConfigurationError with the SQL for an administrator where the login may not.
    """
    role = sql.Identifier(names.app_role)
    with connected(conninfo) as connection, holding(connection):
        found = first(connection, _ROLE, role=names.app_role)
        _refuse_unbound(found)
        try:
            with connection.transaction():
                if found is None:
                    # The lock is this database's and the role the cluster's: another may have made it meanwhile.
                    with suppress(errors.DuplicateObject, errors.UniqueViolation), connection.transaction():
                        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(role))
                if found is None or not found.may_become:
                    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        except errors.InsufficientPrivilege as error:
            raise ConfigurationError(_ask_for_role(connection, names, found)) from error


def grant(conninfo: Mapping[str, str], names: Names, login: str | None) -> None:
    """Give the tenants' role its rights, take every other role's, and let `login` serve as a non-owner.

    Safe to repeat; runs after the migrations, as the owner of the tables.
    """
    with connected(conninfo) as connection, holding(connection):
        _run(connection, names, "app_role")
        others = [row.name for row in asked(connection, _OTHER_ROLES)]
        refused = [sql.SQL("PUBLIC"), *map(sql.Identifier, others)]
        for role in refused:
            _run(connection, names, "revoke_from_role", role)
        for sequence in asked(connection, _SEQUENCES, schema=names.schema, tables=list(names.tenant_tables)):
            for role in [*refused, sql.Identifier(names.app_role)]:
                connection.execute(f"REVOKE ALL ON SEQUENCE {sequence.name} FROM {role.as_string()}".encode())
        if login is not None:
            _run(connection, names, "login_role", sql.Identifier(login))
            _join(connection, names, login)
        _let_use_extension(connection, [names.app_role, *([login] if login else [])])


def check(conninfo: Mapping[str, str], names: Names, *, owner_serves: bool = False) -> list[str]:
    """Return warnings for the operator; raise ConfigurationError if serving like this would not isolate tenants.

    `owner_serves`: no other login is named, so the tables' owner serves, which is a warning and no refusal.
    """
    with connected(conninfo) as connection:
        versions = first(connection, _VERSIONS)
        warnings = check_versions(versions) if versions else []
        role = first(connection, _ROLE, role=names.app_role)
        _refuse_unbound(role)
        if role is None or not role.may_become:
            raise ConfigurationError(_ask_for_role(connection, names, role))
        check_tables(connection, names)
        _refuse_without_extension(connection, names.app_role)
        login = versions.login if versions else ""
        warnings += _check_login(connection, names, login, owner_serves=owner_serves)
        check_login_rights(connection, names, login)
        if role.is_inherited and not owner_serves:
            warnings.append(_ask_for_noinherit(connection, names, login))
        return warnings


def _refuse_unbound(role: _Role | None) -> None:
    """Raise ConfigurationError where tenants that work as `role` would see each other."""
    if role is None:
        return
    its = sql.Identifier(role.name).as_string()
    if role.is_superuser or role.bypasses_rls:
        raise ConfigurationError(
            f"role {role.name} is a superuser or bypasses row-level security, so tenants would see each other. Name"
            f" another in OM_PG_APP_ROLE, or ask an administrator to run: ALTER ROLE {its} NOSUPERUSER NOBYPASSRLS"
        )
    if role.unbound:
        raise ConfigurationError(
            f"role {role.name} may act as {role.unbound}, which is a superuser or bypasses row-level security, so"
            f" tenants could see each other. Run: REVOKE {sql.Identifier(role.unbound).as_string()} FROM {its}"
        )


def _join(connection: Connection, names: Names, login: str) -> None:
    """Let `login` become the tenants' role; where an administrator has seen to that, no right of ours is needed."""
    try:
        with connection.transaction():
            _run(connection, names, "membership", sql.Identifier(login))
    except ConfigurationError:
        allowed = first(connection, _MAY_BECOME, login=login, role=names.app_role)
        if allowed is None or not allowed.yes:
            raise


def _let_use_extension(connection: Connection, to: Sequence[str]) -> None:
    """Let roles see pgvector's types where a hosted platform keeps them in a schema of their own."""
    for role in to:
        if wanted := _missing_usage(connection, role):
            with suppress(errors.InsufficientPrivilege), connection.transaction():
                connection.execute(wanted)
        # Who may use the schema but not hand that on gets a warning from GRANT, and no error.
        _refuse_without_extension(connection, role)


def _refuse_without_extension(connection: Connection, role: str) -> None:
    if wanted := _missing_usage(connection, role):
        raise ConfigurationError(f"role {role} may not see pgvector. Ask an administrator to run: {wanted.as_string()}")


def _missing_usage(connection: Connection, role: str) -> sql.Composed | None:
    """Return the GRANT that `role` lacks on the schema of pgvector, or None if it may use that."""
    schema = extension_schema(connection)
    allowed = first(connection, _MAY_USE, role=role, schema=schema) if schema else None
    if allowed is None or allowed.yes:
        return None
    return sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(str(schema)), sql.Identifier(role))


def _check_login(connection: Connection, names: Names, login: str, *, owner_serves: bool) -> list[str]:
    """Return a warning if the owner serves; raise ConfigurationError if the login named for it could pass the walls."""
    if owner_serves:
        return [
            f"the server logs in as {login}, who owns the tables or could: SQL smuggled into a statement could reach"
            " every tenant. Name a login that owns nothing in OM_PG_APP_USER, and run `openmemory migrate`"
        ]
    role = first(connection, _ROLE, role=login)
    found = asked(connection, UNPROTECTED, role=login, schema=names.schema, tables=list(names.tenant_tables))
    owned = [table.name for table in found if table.is_owned]
    if role is None or role.is_superuser or role.bypasses_rls or role.unbound or owned:
        raise ConfigurationError(
            f"the login {login} (OM_PG_APP_USER) is a superuser, bypasses row-level security or owns the tables, or may"
            " act as a role that does; serve with a login that does none of it"
        )
    return []


def _ask_for_role(connection: Connection, names: Names, found: _Role | None) -> str:
    role = sql.Identifier(names.app_role).as_string()
    versions = first(connection, _VERSIONS)
    login = sql.Identifier(versions.login if versions else "").as_string()
    create = "" if found else f"CREATE ROLE {role} NOLOGIN NOINHERIT; "
    return (
        f"the login {login} may not {'' if found else 'create or '}become the role {role}, as which every tenant's work"
        f" is done. Ask an administrator to run: {create}GRANT {role} TO {login} WITH ADMIN OPTION;"
    )


def _ask_for_noinherit(connection: Connection, names: Names, login: str) -> str:
    role, its = (sql.Identifier(name).as_string() for name in (names.app_role, login))
    remedy = f"GRANT {role} TO {its} WITH INHERIT FALSE"
    if connection.info.server_version < _MEMBERSHIPS_HAVE_OPTIONS:
        remedy = f"ALTER ROLE {its} NOINHERIT"
    return f"the login {login} has the rights of the role {names.app_role} before a tenant is named. Run: {remedy}"


def _run(connection: Connection, names: Names, block: str, role: sql.Composable | None = None) -> None:
    template = statement(f"grants.{block}", type(None)).template
    if role is not None:
        template = template.replace("{role}", role.as_string(connection))
    if connection.info.server_version < _MEMBERSHIPS_HAVE_OPTIONS:
        template = template.replace(" WITH INHERIT FALSE, SET TRUE", "")
    try:
        connection.execute(names.render(template).encode())
    except errors.InsufficientPrivilege as error:
        remedy = "Run `openmemory migrate` as the owner of the tables"
        if block == "membership":
            remedy = f"Ask an administrator to run: {names.render(template).partition('GRANT')[2].strip()}".replace(
                "run: ", "run: GRANT ", 1
            )
        raise ConfigurationError(f"rights: {first_line(error)}. {remedy}") from error
    except errors.UndefinedObject as error:
        raise ConfigurationError(f"rights: {first_line(error)}. Create the login that OM_PG_APP_USER names") from error
