"""The new vectors table beside the one in use: begun, completed and exchanged by the owner, on one connection."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, errors

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.asking import asked
from openmemory.postgres.direct import find_types, patient
from openmemory.postgres.event_triggers import explained_triggers
from openmemory.postgres.failures import first_line, is_cut
from openmemory.postgres.locks import Lock, the_only_one
from openmemory.postgres.migrate import shipped, statements_of
from openmemory.postgres.reembedding import Beside
from openmemory.postgres.servers import REEMBED, servers
from openmemory.postgres.shared_indexes import IndexChoice, statements
from openmemory.postgres.statements import Row, Statement, blocks, statement
from openmemory.postgres.upgrade.found import Session
from openmemory.postgres.upgrade.questions import Answer, Name

KEPT = "What was done is kept; run `openmemory reembed` again to go on"
"""What the reason of a run's early end is followed by."""

Facts = Mapping[str, str]
OnStep = Callable[[str], None]

_LOCK_TIMEOUT = "5s"


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    value: str


_TARGET = statement("beside.target", _Fact)
_TENANTS = statement("beside.tenants", Name)
_KNOWN_TENANTS = statement("registry.tenants", Name)
_IS_BOUND = statement("beside.is_bound", Answer)
_IS_INDEXED = statement("beside.is_indexed", Answer)
_HAS_KEY = statement("beside.has_key", Answer)
_HAS_CHANGES = statement("beside.has_changes", Answer)
_IS_UNTIDIED = statement("beside.is_untidied", Answer)


@contextmanager
def new_vectors(conninfo: Mapping[str, str], names: Beside) -> Iterator["NewVectors"]:
    """Yield the new vectors, to one process at a time; the driver's errors become what the owner can do about them."""
    with (
        patient({**conninfo, "application_name": REEMBED}) as connection,
        _explained(),
        explained_triggers("reembed", conninfo, KEPT),
        the_only_one(connection, Lock.REEMBED),
    ):
        find_types(connection, names.schema)
        yield NewVectors(connection, names)


class NewVectors:
    """What the owner does with the new table."""

    def __init__(self, connection: Connection, names: Beside) -> None:
        self._connection = connection
        self._names = names

    def begun(self) -> dict[str, str]:
        """Return what an unfinished run is moving to: model, dimension and type; {} where none was begun."""
        if not self._is_there(self._names.beside):
            return {}
        return {fact.name: fact.value for fact in self._all(_TARGET)}

    def tenants(self) -> list[str]:
        """Return the tenants that have memories; those of the registry, where the owner may not see whose there are."""
        return [tenant.name for tenant in self._all(_KNOWN_TENANTS if self._is_bound() else _TENANTS)]

    def begin(self, target: Facts) -> None:
        """Make the new table and have every change of a memory noted from now on; all of it or nothing."""
        making, _ = _parts()
        with self._short_transaction():
            bound = self._is_bound()
            if bound:  # the owner then sees no tenant; the exclusive lock lasts as long as their names are read
                self._run("lift")
            self._run("begin")
            for part in making:
                self._execute(part)
            self._run("ready_to_fill")
            self._execute("INSERT INTO {tenants_to_do} (tenant_id) " + blocks("beside")["tenants"])
            if bound:
                self._run("force")
            for name, value in target.items():
                self._run("note_target", name=name, value=value)

    def complete(self, index: IndexChoice, on_step: OnStep) -> None:
        """Give the full table its indexes and its foreign key, and vacuum it; what is there already stays."""
        if not self._true(_IS_INDEXED, vectors=self._names.render("{vectors}")):
            on_step("building the tenant index")
        for part in _parts()[1]:
            self._execute(part)
        for name, text in statements(self._names, index).items():
            on_step(f"building {name}")
            self._connection.execute(text.replace(" CONCURRENTLY", "").encode())
        if not self._true(_HAS_KEY, vectors=self._names.render("{vectors}")):
            with self._short_transaction():
                self._run("add_key")
        on_step("vacuuming")
        self._run("freshen")
        self._run("vacuum")

    def exchange(self, target: Facts, *, keep: bool) -> bool:
        """Put the new table in place of the one in use; False, and nothing done, if there is a change to embed first.

        The one that was in use is dropped, or kept in a schema of its own.
        """
        self._run("prove_key")
        with self._short_transaction() as transaction:
            self._run("close")
            if self._true(_HAS_CHANGES):
                raise psycopg.Rollback(transaction)
            self._run("stop_noting")
            self._run("keep_used" if keep else "drop_used")
            self._run("take_place")
            for name, value in target.items():
                self._run("record", name=name, value=value)
            self._run("untidied")
            return True
        return False

    def is_untidied(self) -> bool:
        """Return whether a run was stopped after its exchange, before `tidied`."""
        return self._true(_IS_UNTIDIED)

    def tidied(self) -> None:
        """Record that what comes after an exchange is done."""
        self._run("tidied")

    def abandon(self) -> None:
        """Drop the new table and stop noting changes; the vectors in use stay as they are."""
        with self._short_transaction():
            self._run("abandon")

    def refuse_kept(self) -> None:
        """Raise ConfigurationError where an earlier run has kept the vectors before."""
        if self._is_there(self._names.before):
            raise ConfigurationError(
                f"--keep-old: schema {self._names.before} keeps the vectors of an earlier run; drop it first, or leave"
                " --keep-old out"
            )

    def servers(self, login: str | None) -> tuple[Session, ...]:
        """Return other sessions that are a server's or may be; `login` is the server's by the settings."""
        return servers(self._connection, self._names, login)

    def has_quarantine(self) -> bool:
        """Return whether an upgrade has a table for the vectors that it set aside."""
        table = self._names.render("{vector_quarantine}")
        return self._connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() == (True,)

    @contextmanager
    def _short_transaction(self) -> Iterator[psycopg.Transaction]:
        with self._connection.transaction() as transaction:
            self._connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
            yield transaction

    def _is_bound(self) -> bool:
        return self._true(_IS_BOUND, memories=self._names.render("{memories}"))

    def _is_there(self, schema: str) -> bool:
        query = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
        return self._connection.execute(query, [schema]).fetchone() == (True,)

    def _true(self, query: Statement[Answer], **params: object) -> bool:
        (answer,) = self._all(query, **params)
        return answer.yes

    def _all(self, query: Statement[Row], **params: object) -> list[Row]:
        return asked(self._connection, query, self._rendered(query.template, params), **params)

    def _run(self, block: str, **params: object) -> None:
        template = blocks("beside")[block].replace("{vectors_key}", _key())
        self._connection.execute(self._rendered(template, params), params or None)

    def _execute(self, template: str) -> None:
        self._connection.execute(self._rendered(template, {}))

    def _rendered(self, template: str, params: Mapping[str, object]) -> bytes:
        return self._names.render_with_params(template) if params else self._names.render(template).encode()


def _parts() -> tuple[list[str], list[str]]:
    """Return what the migrations say of the vectors table: how it is made, without its foreign key; and its indexes.

    Read from them, so that a new table ends as they would have made it.
    """
    parts = [part for migration in shipped() for part in statements_of(migration.template) if "{vectors}" in part]
    made = [part for part in parts if not part.startswith("CREATE INDEX")]
    indexes = [part.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1) for part in parts if part not in made]
    return [part.replace(f"{_key()},", "") for part in made], indexes


def _key() -> str:
    """Return the foreign key to the memories as the migrations write it."""
    found = re.search(r"CONSTRAINT \{vectors_memory_fkey\} [^\n]+?(?=,?\n)", "".join(m.template for m in shipped()))
    if found is None:
        raise LookupError("no migration makes the foreign key of the vectors")
    return found[0]


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the driver's errors into what the owner can do about them."""
    try:
        yield
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"{first_line(error)}. Run `openmemory reembed` as the owner of the tables, who may create schemas in this"
            f" database. {KEPT}"
        ) from error
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise ConfigurationError(
            f"{first_line(error)}: a live session holds a table for longer than {_LOCK_TIMEOUT}; end it, or wait for"
            f" it. {KEPT}"
        ) from error
    except errors.DependentObjectsStillExist as error:
        raise ConfigurationError(
            f"{first_line(error)}. Drop what depends on it, or move it aside with --keep-old. {KEPT}"
        ) from error
    except psycopg.Error as error:
        if is_cut(error):
            raise DatabaseUnavailable(f"the connection was lost: {first_line(error)}. {KEPT}") from error
        raise ConfigurationError(f"{first_line(error)} (SQLSTATE {error.sqlstate}). {KEPT}") from error
