"""What keeps tenants apart in the catalogue: forced row-level security, the one policy, and rights on nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from psycopg import Connection, sql

from openmemory.errors import ConfigurationError
from openmemory.postgres.asking import asked
from openmemory.postgres.statements import Names, statement

# As the migrations make it, and as PostgreSQL then writes it.
_POLICY = "tenant_isolation"
_OWN_ROWS = "(tenant_id = current_setting('app.current_tenant', true))"
_OWN_ROWS_SHOWN = "(tenant_id = current_setting('app.current_tenant'::text, true))"
_EVERY_COMMAND = "*"
# As grants.sql gives them.
_OF_TENANTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_OF_LOGIN = (
    ("openmemory_meta", "SELECT"),
    ("openmemory_migrations", "SELECT"),
    ("openmemory_tenants", "SELECT"),
    ("openmemory_tenants", "INSERT"),
)


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A table of tenants that row-level security does not protect from the role that was asked about."""

    name: str
    is_missing: bool
    is_owned: bool


@dataclass(frozen=True, slots=True)
class _Policy:
    table_name: str
    name: str | None
    command: str | None
    roles: Sequence[str]
    seen: str | None
    written: str | None


@dataclass(frozen=True, slots=True)
class _Right:
    name: str


UNPROTECTED = statement("protection.unprotected", Unprotected)
_POLICIES = statement("protection.policies", _Policy)
_LACKING = statement("protection.lacking", _Right)


def check_tables(connection: Connection, names: Names) -> None:
    """Raise ConfigurationError, with the remedy, unless each table of tenants is protected and the role can use it."""
    _check_protection(connection, names)
    _check_policies(connection, names)
    _check_rights(connection, names, names.app_role, list(product(names.tenant_tables, _OF_TENANTS)))


def check_login_rights(connection: Connection, names: Names, login: str) -> None:
    """Raise ConfigurationError where the login cannot read or enter what the server reads and enters as itself."""
    _check_rights(connection, names, login, _OF_LOGIN)


def _check_protection(connection: Connection, names: Names) -> None:
    tables = list(names.tenant_tables)
    for table in asked(connection, UNPROTECTED, role=names.app_role, schema=names.schema, tables=tables):
        if table.is_missing:
            raise ConfigurationError(f"table {table.name} is missing; run `openmemory migrate`")
        if table.is_owned:
            raise ConfigurationError(
                f"role {names.app_role} owns table {table.name} or may act as its owner; make another role the owner"
            )
        raise ConfigurationError(
            f"row-level security of table {table.name} is off. Run: ALTER TABLE {names.table(table.name)}"
            " ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
        )


def _check_policies(connection: Connection, names: Names) -> None:
    """Raise ConfigurationError unless each tenant table has the one policy that the migrations made, and as it was."""
    tables = list(names.tenant_tables)
    role, own = sql.Identifier(names.app_role).as_string(), sql.Identifier(_POLICY).as_string()
    for policy in asked(connection, _POLICIES, role=names.app_role, schema=names.schema, tables=tables):
        table = names.table(policy.table_name)
        if policy.name not in (None, _POLICY):
            raise ConfigurationError(
                f"table {policy.table_name} has a policy of its own, {policy.name}, which adds to what the role"
                f" {names.app_role} may reach. Make it another role's, or run:"
                f" DROP POLICY {sql.Identifier(str(policy.name)).as_string()} ON {table}"
            )
        found = (policy.command, list(policy.roles), policy.seen, policy.written)
        if found != (_EVERY_COMMAND, [names.app_role], _OWN_ROWS_SHOWN, _OWN_ROWS_SHOWN):
            raise ConfigurationError(
                f"the policy {_POLICY} of table {policy.table_name} is not the one that keeps tenants apart. Run:"
                f" DROP POLICY IF EXISTS {own} ON {table}; CREATE POLICY {own} ON {table} TO {role}"
                f" USING {_OWN_ROWS} WITH CHECK {_OWN_ROWS};"
            )


def _check_rights(connection: Connection, names: Names, role: str, wanted: Sequence[tuple[str, str]]) -> None:
    """Raise ConfigurationError where somebody took rights that `openmemory migrate` had given."""
    tables, privileges = zip(*wanted, strict=True)
    of_role = {"role": role, "schema": names.schema}
    found = asked(connection, _LACKING, **of_role, tables=list(tables), privileges=list(privileges))
    if lacking := [row.name for row in found]:
        raise ConfigurationError(
            f"role {role} lacks rights on tables of schema {names.schema}: {', '.join(lacking)}. Run"
            " `openmemory migrate` as their owner, which gives them"
        )
