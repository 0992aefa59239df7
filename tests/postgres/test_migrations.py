"""From an empty database to the newest schema: once, in order, by one process, and never half-way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from psycopg import sql

from openmemory.errors import ConfigurationError
from openmemory.postgres import migrate, roles
from openmemory.postgres.migrate import Migration
from tests.postgres.databases import Place

_CONCURRENTLY = """-- no transaction
-- Two statements; the semicolon in 'a;b' ends none of them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS late ON {memories} (tenant_id, version);
CREATE INDEX CONCURRENTLY IF NOT EXISTS later ON {memories} (tenant_id, repetitions) WHERE content <> 'a;b';
"""


def _after(*further: tuple[str, str]) -> list[Migration]:
    shipped = migrate.shipped()
    last = shipped[-1].number
    new = [
        Migration(last + place, f"{last + place:04}_{name}.sql", text) for place, (name, text) in enumerate(further, 1)
    ]
    return [*shipped, *new]


def _migrated(place: Place, *further: tuple[str, str]) -> list[str]:
    return [one.name for one in migrate.migrate(place.logins.owner, place.names, migrations=_after(*further))]


def _relations(place: Place) -> set[str]:
    with place.owner() as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace",
            [sql.Identifier(place.names.schema).as_string()],
        )
        return {str(name) for (name,) in found}


@pytest.fixture
def prepared(place: Place) -> Place:
    """Return an empty database whose role is there, as the migrations need it."""
    roles.prepare_app_role(place.logins.owner, place.names)
    return place


def test_the_shipped_files_are_numbered_without_gaps() -> None:
    assert [one.number for one in migrate.shipped()] == list(range(1, len(migrate.shipped()) + 1))


def test_an_empty_database_reaches_the_newest_schema_in_order(prepared: Place) -> None:
    before, steps = migrate.status(prepared.logins.owner, prepared.names), list[str]()

    migrate.migrate(prepared.logins.owner, prepared.names, lambda step: steps.append(step.name))

    after = migrate.status(prepared.logins.owner, prepared.names)
    assert (before.is_empty, before.is_foreign, before.pending) == (True, False, migrate.shipped())
    assert steps == [one.name for one in migrate.shipped()]
    assert (after.is_empty, after.pending) == (False, ())
    assert set(prepared.names.tenant_tables) <= _relations(prepared)


def test_a_second_run_applies_nothing(prepared: Place) -> None:
    first = _migrated(prepared)

    assert first
    assert _migrated(prepared) == []


def test_only_what_is_new_is_applied_to_an_older_database(prepared: Place) -> None:
    _migrated(prepared)

    assert _migrated(prepared, ("add_a", "CREATE TABLE added (a int)")) == [_after(("add_a", ""))[-1].name]
    assert "added" in _relations(prepared)


def _at_once(work: Callable[[], list[str]]) -> list[list[str]]:
    ready = Barrier(2)

    def one() -> list[str]:
        ready.wait()
        return work()

    with ThreadPoolExecutor(2) as pool:
        return [started.result() for started in [pool.submit(one), pool.submit(one)]]


def test_two_migrators_at_once_apply_each_file_once(prepared: Place) -> None:
    outcomes = _at_once(lambda: _migrated(prepared))

    assert sorted(outcomes, key=len) == [[], [one.name for one in migrate.shipped()]]


def test_two_servers_that_start_at_once_on_an_empty_database_both_succeed(place: Place) -> None:
    def start() -> list[str]:
        place.migrate()
        return [warning for warning in roles.check(place.logins.server, place.names) if "pgvector" not in warning]

    assert _at_once(start) == [[], []]


def test_a_file_that_changed_after_it_was_applied_is_refused(prepared: Place) -> None:
    _migrated(prepared)
    first, *others = migrate.shipped()
    changed = [replace(first, text=first.text + "-- harmless\n"), *others]

    with pytest.raises(ConfigurationError, match=f"{first.name} was applied with another text"):
        migrate.migrate(prepared.logins.owner, prepared.names, migrations=changed)


def test_a_database_of_a_newer_version_is_refused(prepared: Place) -> None:
    _migrated(prepared, ("from_the_future", "CREATE TABLE future (a int)"))

    with pytest.raises(ConfigurationError, match=r"newer version: \d{4}_from_the_future\.sql .* upgrade this server"):
        migrate.status(prepared.logins.owner, prepared.names)
    with pytest.raises(ConfigurationError, match="from_the_future"):
        _migrated(prepared)


def test_an_index_is_built_concurrently_outside_a_transaction(prepared: Place) -> None:
    applied = _migrated(prepared, ("build_late", _CONCURRENTLY))

    assert applied[-1].endswith("_build_late.sql")
    assert {"late", "later"} <= _relations(prepared)


def test_a_file_without_transaction_is_recorded_only_after_it_succeeded(prepared: Place) -> None:
    _migrated(prepared)
    broken = _CONCURRENTLY + "CREATE INDEX CONCURRENTLY IF NOT EXISTS latest ON {memories} (no_such_column);\n"

    with pytest.raises(ConfigurationError, match=r"_build_late\.sql: column .*no_such_column.* does not exist"):
        _migrated(prepared, ("build_late", broken))

    assert len(migrate.status(prepared.logins.owner, prepared.names).pending) == 0
    assert _migrated(prepared, ("build_late", _CONCURRENTLY)) == [_after(("build_late", ""))[-1].name]


def test_a_file_that_fails_leaves_nothing_and_is_named(prepared: Place) -> None:
    broken = ("half_way", "CREATE TABLE half (a int);\nALTER TABLE half ADD COLUMN a int;")

    with pytest.raises(ConfigurationError, match=r"\d{4}_half_way\.sql: column .* already exists \(SQLSTATE 42701\)"):
        _migrated(prepared, broken, ("never_reached", "CREATE TABLE never (a int)"))

    assert not {"half", "never"} & _relations(prepared)
    assert _migrated(prepared, ("half_way", "CREATE TABLE half (a int)")) != []


def test_the_lock_is_free_after_a_failure(prepared: Place) -> None:
    with pytest.raises(ConfigurationError):
        _migrated(prepared, ("broken", "SELECT 1 / 0"))

    with prepared.owner() as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone() == (0,)


@pytest.mark.parametrize("table", ["openmemory_memories", "openmemory_users", "temporal_facts"])
def test_tables_of_an_older_openmemory_are_left_alone(place: Place, table: str) -> None:
    with place.owner() as connection:
        connection.execute(sql.SQL("CREATE TABLE {} (id text)").format(sql.Identifier(table)))

    status = migrate.status(place.logins.owner, place.names)
    with pytest.raises(ConfigurationError, match=r"older OpenMemory.*nothing was changed"):
        place.migrate()

    assert status.is_foreign
    assert _relations(place) == {table}


def test_an_owner_without_rights_is_told_what_to_ask_for(prepared: Place) -> None:
    poor = prepared.with_role()

    with pytest.raises(ConfigurationError) as refused:
        migrate.migrate(prepared.as_role(poor), prepared.names)

    assert "GRANT CREATE ON SCHEMA" in str(refused.value)
    assert "superuser is neither needed nor wise" in str(refused.value)


def test_the_right_to_create_in_the_schema_is_enough_where_the_extension_is_installed(prepared: Place) -> None:
    modest = prepared.with_role()
    with prepared.owner() as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(modest)))

    migrate.migrate(prepared.as_role(modest), prepared.names)

    assert set(prepared.names.tenant_tables) <= _relations(prepared)


def test_what_an_encoding_may_lack_stands_in_comments_only() -> None:
    odd = [line for migration in migrate.shipped() for line in migration.text.splitlines() if not line.isascii()]

    assert all(line.startswith("--") for line in odd)
