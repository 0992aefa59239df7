"""Sessions that hold a lock and are ended by somebody: what is said of the work is what became of it."""

from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres import migrate, roles
from openmemory.postgres.backup import dump, restore
from openmemory.postgres.direct import connected, in_turn
from openmemory.postgres.locks import Lock, holder_of
from tests.postgres.databases import Place
from tests.postgres.dumps import NEW, count, run


def test_a_restore_holds_its_lock_on_the_connection_that_works(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "DELETE FROM openmemory_vectors")

    def end(step: str) -> None:
        if step == "committing":
            end_holder(old, Lock.SCHEMA)

    with pytest.raises((ConfigurationError, DatabaseUnavailable), match="terminating connection"):
        restore(old.logins.owner, tmp_path / "b.dump", NEW, end, names=old.names, replace=True)

    assert count(old, "openmemory_vectors") == 0


def test_a_restore_leaves_no_other_session_that_could_be_ended(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    seen: list[int] = []

    def look(_: str) -> None:
        with connected(old.logins.owner) as watching:
            found = watching.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'"
            )
            seen.append(found.rowcount)

    restore(old.logins.owner, tmp_path / "b.dump", NEW, look, names=old.names, replace=True)

    assert max(seen) == 1


@pytest.mark.parametrize(
    "text", ["CREATE TABLE made ();\n", "-- no transaction\nSELECT 1;\n"], ids=["transaction", "statements"]
)
def test_a_migration_whose_lock_is_lost_is_not_recorded(place: Place, text: str) -> None:
    roles.prepare_app_role(place.logins.owner, place.names)
    last = migrate.Migration(9999, "9999_last.sql", text)
    known = (*migrate.shipped(), last)

    def end(migration: migrate.Migration) -> None:
        if migration == last:
            end_holder(place, Lock.SCHEMA)

    with pytest.raises(DatabaseUnavailable, match=r"was ended meanwhile \(terminating connection.*Run this again"):
        migrate.migrate(place.logins.owner, place.names, end, known)

    assert migrate.migrate(place.logins.owner, place.names, migrations=known) == [last]


@pytest.mark.parametrize("lock", [Lock.START, Lock.SCHEMA], ids=lambda lock: lock.name)
def test_work_that_is_done_did_not_fail_because_its_lock_was_lost_since(place: Place, lock: Lock) -> None:
    with in_turn(place.logins.owner, lock=lock):
        end_holder(place, lock)

    with in_turn(place.logins.owner, lock=lock):
        pass


def test_work_that_failed_says_why_though_its_lock_was_lost(place: Place) -> None:
    def fail() -> None:
        with in_turn(place.logins.owner):
            end_holder(place, Lock.START)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()


def end_holder(place: Place, lock: Lock) -> None:
    """End the session that holds a lock, and wait until it is gone."""
    with connected(place.logins.owner) as other:
        holder = holder_of(other, lock)
        assert holder is not None
        assert other.execute("SELECT pg_terminate_backend(%s, 60000)", [holder.pid]).fetchone() == (True,)
