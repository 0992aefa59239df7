"""Databases for tests that change the schema or the roles: empty ones, of the test alone."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import Connection, errors, sql

from openmemory import app as application
from openmemory.adapters.embedders import HashEmbedder
from openmemory.app import Logins
from openmemory.postgres.direct import connected
from openmemory.postgres.statements import Names
from tests.conftest import Server, a_database


@dataclass(frozen=True)
class Place:
    """An empty database with names for it; the tenants' role of the names is of this database alone."""

    logins: Logins
    names: Names

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """Connect as the superuser or owner of the database."""
        with psycopg.connect(autocommit=True, **self.logins.owner) as connection:  # type: ignore[arg-type]  # all text
            yield connection

    def migrate(self) -> None:
        """Bring the database to the newest schema, with roles and rights."""
        application.bring_up_to_date(self.logins, self.names, HashEmbedder(self.names.dimension))

    def as_role(self, role: str) -> Mapping[str, str]:
        """Return the way in as a role without a login."""
        return {**self.logins.owner, "options": f"-c role={role}"}

    def with_role(self, attributes: str = "NOLOGIN") -> str:
        """Create a role, without rights, and return its name."""
        role = a_name("om_role")
        with self.owner() as connection:
            statement = sql.SQL("CREATE ROLE {} ").format(sql.Identifier(role)).as_string() + attributes
            connection.execute(statement.encode())
        return role


@contextmanager
def a_place(server: Server, names: Names | None = None, template: str = "template1") -> Iterator[Place]:
    """Yield an empty database, or a copy of `template`; its role is dropped at the end."""
    own = replace(names or Names(dimension=64), app_role=a_name("om_app"))
    name = a_name("om_db")
    place = Place(a_database(server, name, template), own)
    try:
        yield place
    finally:
        with place.owner() as connection, suppress(errors.Error):
            role = sql.Identifier(own.app_role)
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
        # Hundreds of old databases in one run would fill a small disk.
        with connected(server.owner) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def a_name(prefix: str) -> str:
    """Return a name that nothing else has."""
    return f"{prefix}_{secrets.token_hex(6)}"
