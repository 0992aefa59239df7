"""Event triggers of the owner's that look for their tables in the owner's own search path."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import Connection

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import dump, restore
from openmemory.postgres.migrate import migrate
from openmemory.postgres.upgrade.look import look
from openmemory.postgres.upgrade.plan import STEPS
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import ORDINARY, A, lift, odd, remember

__all__ = ["odd"]

LOG = """
CREATE SCHEMA audit;
CREATE TABLE audit.ddl_log (tag text);
CREATE FUNCTION audit.log_ddl() RETURNS event_trigger
    LANGUAGE plpgsql
AS $body$
BEGIN
    INSERT INTO ddl_log VALUES (tg_tag);
END
$body$;
"""


@pytest.fixture(params=["ddl_command_end", "sql_drop"])
def event(request: pytest.FixtureRequest) -> str:
    """Return an event that a statement of an upgrade, or of the way back, is."""
    return str(request.param)


@pytest.fixture
def logging(odd: Place) -> Iterator[Connection]:
    """Yield a connection to an old database whose statements are logged into a table without a schema's name."""
    with odd.owner() as connection:
        remember(connection, A)
        connection.execute(LOG.encode())
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = public, audit".encode())
        yield connection


def on(connection: Connection, event: str) -> None:
    """Have an event logged from now on."""
    connection.execute(f'CREATE EVENT TRIGGER "Log it" ON {event} EXECUTE FUNCTION audit.log_ddl()'.encode())


def remedy(refused: pytest.ExceptionInfo[ConfigurationError]) -> bytes:
    """Return the statement that a refusal names, after checking that it tells which function failed."""
    said = str(refused.value)
    assert 'relation "ddl_log" does not exist (SQLSTATE 42P01)' in said
    assert 'in the function audit.log_ddl() of the event trigger "Log it"' in said
    assert 'ALTER EVENT TRIGGER "Log it" DISABLE' in said
    return said[said.index("ALTER FUNCTION") :].partition(", unless")[0].encode()


def test_a_function_that_finds_not_its_table_is_foretold_and_named_and_its_remedy_helps(
    odd: Place, logging: Connection
) -> None:
    on(logging, "ddl_command_end")
    (foretold,) = look(odd.logins.owner, odd.names).event_triggers
    assert (foretold.name, foretold.function) == ('"Log it"', "audit.log_ddl()")

    with pytest.raises(ConfigurationError) as refused:
        lift(odd)

    logging.execute(remedy(refused))
    assert look(odd.logins.owner, odd.names).event_triggers == ()
    assert upgrade(odd.logins.owner, odd.names, ORDINARY).steps == STEPS
    assert logging.execute("SELECT count(*) > 20 FROM audit.ddl_log").fetchone() == (True,)


def test_the_way_back_names_it_too(odd: Place, logging: Connection, event: str) -> None:
    lift(odd)
    on(logging, event)

    with pytest.raises(ConfigurationError, match="Nothing was changed") as refused:
        down(odd.logins.owner, odd.names)

    logging.execute(remedy(refused))
    down(odd.logins.owner, odd.names)
    assert logging.execute("SELECT count(*) FROM openmemory_memories WHERE id = %s", [A]).fetchone() == (1,)


def test_a_restore_names_it_too(odd: Place, logging: Connection, event: str, tmp_path: Path) -> None:
    file = tmp_path / "b.dump"
    on(logging, event)
    rows = dump(odd.logins.owner, file)

    with pytest.raises(ConfigurationError, match="nothing was restored") as refused:
        restore(odd.logins.owner, file, names=odd.names, replace=True)

    assert str(refused.value).endswith(
        'of the event trigger "Log it". ALTER EVENT TRIGGER "Log it" DISABLE, and ENABLE it afterwards'
    )
    logging.execute('ALTER EVENT TRIGGER "Log it" DISABLE')
    assert restore(odd.logins.owner, file, names=odd.names, replace=True) == rows


def test_the_first_migrations_name_it_too(place: Place) -> None:
    with place.owner() as connection:
        connection.execute(LOG.encode())
        on(connection, "ddl_command_end")

        with pytest.raises(ConfigurationError) as refused:
            migrate(place.logins.owner, place.names)

        remedy(refused)


def test_one_that_refuses_by_itself_is_named_with_the_way_to_switch_it_off(odd: Place, logging: Connection) -> None:
    raises = LOG.replace("INSERT INTO ddl_log VALUES (tg_tag)", "RAISE EXCEPTION 'not on Fridays'")
    logging.execute(raises[raises.index("CREATE FUNCTION") :].replace("CREATE", "CREATE OR REPLACE").encode())
    on(logging, "ddl_command_end")

    with pytest.raises(ConfigurationError) as refused:
        lift(odd)

    said = str(refused.value)
    assert "not on Fridays" in said
    assert 'audit.log_ddl() of the event trigger "Log it". ALTER EVENT TRIGGER "Log it" DISABLE' in said
    assert "ALTER FUNCTION" not in said


@pytest.mark.parametrize(
    "spare",
    [
        'ALTER EVENT TRIGGER "Log it" DISABLE',
        "ALTER FUNCTION audit.log_ddl() SET search_path = audit",
    ],
)
def test_one_that_is_off_or_has_a_path_of_its_own_is_not_told(odd: Place, logging: Connection, spare: str) -> None:
    on(logging, "ddl_command_end")
    logging.execute(spare.encode())

    assert look(odd.logins.owner, odd.names).event_triggers == ()
    lift(odd)
