"""An upgrade that is killed, refused, or met by another goes on where it was and loses nothing."""

import json
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from openmemory.errors import ConfigurationError, DatabaseUnavailable
from openmemory.postgres.locks import the_only_one
from openmemory.postgres.upgrade import layout
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.postgres.databases import Place
from tests.upgrade.old_databases import verify

KILLS = 20
_RUN = """
import json, sys
from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
conninfo, names = json.loads(sys.argv[1])
print("begun", flush=True)
upgrade(conninfo, Names(**names), Plan(1536, batch_size=40), lambda _: print("on", flush=True))
"""


def run(place: Place, reports: int, patience_s: float) -> bool:
    """Upgrade in a process of its own, killed a while after so many reports; return whether it came to its end."""
    given = json.dumps([dict(place.logins.owner), asdict(place.names)])
    with subprocess.Popen([sys.executable, "-c", _RUN, given], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        assert one.stdout is not None
        for _ in range(1 + reports):
            one.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            one.wait(patience_s)
        one.kill()
        _, said = one.communicate()
        # The session of the one before may hold the lock for a moment after its client was killed.
        assert one.returncode in {0, -9} or b"another `openmemory migrate`" in said, said.decode()
        return one.returncode == 0


def test_killed_twenty_times_it_ends_as_if_nothing_had_happened(old: Place, shared: Path) -> None:
    moments = random.Random(20)  # noqa: S311 -- no secret
    ended, steps = False, []
    for _ in range(KILLS):
        # By reports, since how long an upgrade takes differs by the machine.
        ended = run(old, moments.randint(0, 12), moments.uniform(0.0, 0.02))
        steps.append(state(old.logins.owner, old.names).get("step", "not begun"))
    assert len([step for step in steps if step.isdecimal()]) >= 3, f"killed in the middle too seldom: {steps}"
    if not ended:
        upgrade(old.logins.owner, old.names, Plan(1536))
    said = verify(old, shared, "legacy-pre-pgvector")
    assert (said["identical"], said["missing"], said["extra"], said["fell"]) == (715, [], [], {})
    with old.owner() as connection:
        for table, rows in {"memories": 568, "vectors": 715, "waypoints": 568, "users": 9}.items():
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(f"openmemory_{table}"))
            assert connection.execute(query).fetchone() == (rows,)


def test_a_lost_connection_is_told_and_the_next_run_goes_on(old: Place, shared: Path) -> None:
    def cut(progress: Progress) -> None:
        if progress.step == STEPS[2] and progress.done > 100:
            with old.owner() as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    with pytest.raises(DatabaseUnavailable, match="goes on from there"):
        upgrade(old.logins.owner, old.names, Plan(1536, batch_size=50), cut)
    assert state(old.logins.owner, old.names)["step"] == "002"
    upgrade(old.logins.owner, old.names, Plan(1536))
    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715


def test_of_two_at_once_the_second_is_refused(old: Place) -> None:
    refused: list[ConfigurationError] = []

    def meet(progress: Progress) -> None:
        if progress.step == STEPS[1] and not refused:
            with pytest.raises(ConfigurationError, match="another `openmemory migrate` is at work") as error:
                upgrade(old.logins.owner, old.names, Plan(1536))
            refused.append(error.value)

    upgrade(old.logins.owner, old.names, Plan(1536), meet)
    assert refused


def test_who_is_at_work_is_named_and_how_its_session_is_ended(old: Place) -> None:
    with psycopg.connect(**old.logins.owner, application_name="gone", autocommit=True) as other, the_only_one(other):  # type: ignore[arg-type]  # all text
        pid = other.info.backend_pid
        with pytest.raises(
            ConfigurationError,
            match=rf"at work .*: pid {pid} \('gone', idle, since 20.*\)\..* SELECT pg_terminate_backend\({pid}\)",
        ):
            upgrade(old.logins.owner, old.names, Plan(1536))


def test_the_old_tables_take_no_writes_meanwhile(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[0])
    with old.owner() as connection:
        for role in ("origin", "replica"):  # as a client writes, and as a replication does
            connection.execute(f"SET session_replication_role = {role}".encode())
            with pytest.raises(psycopg.Error, match="is being upgraded and takes no writes"):
                connection.execute("UPDATE openmemory_memories SET salience = 1")


def test_a_lock_of_a_live_session_is_waited_for_so_long_and_the_session_named(
    old: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert layout.LOCK_TIMEOUT == "10s"
    monkeypatch.setattr(layout, "LOCK_TIMEOUT", "100ms")
    with psycopg.connect(**old.logins.owner, application_name="old-server") as live:  # type: ignore[arg-type]
        live.execute("INSERT INTO openmemory_users (user_id) VALUES ('late')")
        with pytest.raises(ConfigurationError, match=r"lock timeout.*pid \d+ 'old-server'"):
            upgrade(old.logins.owner, old.names, Plan(1536))
        live.rollback()
    upgrade(old.logins.owner, old.names, Plan(1536))


def test_steps_can_be_run_one_by_one_and_again_but_not_out_of_order(old: Place, shared: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{STEPS[1]} needs {STEPS[0]}"):
        upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[1])
    for step in STEPS:
        assert upgrade(old.logins.owner, old.names, Plan(1536), only=step).steps == (step,)
        assert upgrade(old.logins.owner, old.names, Plan(1536), only=step).steps == ()
    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715


def test_an_upgrade_keeps_the_decisions_it_began_with(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536, tenant="acme"), only=STEPS[0])
    upgrade(old.logins.owner, old.names, Plan(256))
    with old.owner() as connection:
        assert connection.execute("SELECT DISTINCT tenant_id FROM openmemory_memories").fetchall() == [("acme",)]


def test_an_index_that_was_left_unfinished_is_dropped_and_built_again(old: Place) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[0])
    for step in STEPS[1:4]:
        upgrade(old.logins.owner, old.names, Plan(1536), only=step)
    with old.owner() as connection:
        name = "openmemory_new_public.openmemory_vectors_search"
        connection.execute(
            f"CREATE INDEX {name.partition('.')[2]} ON openmemory_new_public.openmemory_vectors (id)".encode()
        )
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name])
        upgrade(old.logins.owner, old.names, Plan(1536))
        row = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'openmemory_vectors_search'"
        ).fetchone()
    assert row is not None
    assert "INCLUDE" in row[0]
