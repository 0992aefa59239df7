"""The files for psql: stopped anywhere they are run again, and nobody else works on the database meanwhile."""

import subprocess
from pathlib import Path

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.upgrade import layout
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, dsn, program, verify
from tests.upgrade.test_script import psql, say_twice

PLAN = Plan(1536)
CUT = "ERROR:  unterminated dollar-quoted string"
AT_WORK = "another migration is at work on this database"


def run(place: Place, step: str) -> None:
    """Run a step's whole file."""
    done = psql(place, script(place.logins.owner, place.names, PLAN, step))
    assert done.returncode == 0, done.stderr


def run_in_pieces(place: Place, step: str) -> None:
    """Run a step's file up to each of its paragraphs, each time from the beginning, and then to its end."""
    paragraphs = script(place.logins.owner, place.names, PLAN, step).split("\n\n")
    for end in range(1, len(paragraphs)):
        said = said_by(place, "\n\n".join(paragraphs[:end])).replace(CUT, "")
        assert "ERROR" not in said, (end, said)
    assert "ERROR" not in said_by(place, "\n\n".join(paragraphs))


def said_by(place: Place, text: str) -> str:
    """Run a script as soon as the session of the one before has given up its lock, which it may hold for a moment."""
    while AT_WORK in (said := psql(place, text).stderr):
        continue
    return said


def test_each_file_can_be_stopped_anywhere_and_run_again(old: Place, shared: Path) -> None:
    for step in STEPS[:4]:
        run_in_pieces(old, step)
    upgrade(old.logins.owner, old.names, PLAN)
    said = verify(old, shared, "legacy-pre-pgvector")
    assert (said["identical"], said["missing"], said["extra"], said["fell"]) == (715, [], [], {})


def test_a_file_whose_step_is_done_changes_nothing_and_one_too_early_is_refused(old: Place) -> None:
    files = {step: script(old.logins.owner, old.names, PLAN, step) for step in STEPS}
    assert "step 2 is not finished, and step 3 needs it" in psql(old, files[STEPS[2]]).stderr
    upgrade(old.logins.owner, old.names, PLAN)
    for step, text in files.items():
        done = psql(old, text)
        assert (done.returncode, f"{step} is done already" in done.stdout) == (0, True), done.stderr
    assert state(old.logins.owner, old.names)["step"] == "done"


@pytest.mark.parametrize("number", [2, 3])
def test_a_file_is_refused_while_openmemory_migrate_is_at_work(old: Place, shared: Path, number: int) -> None:
    refused: list[str] = []

    def meet(progress: Progress) -> None:
        if progress.step == STEPS[number - 1] and not refused:
            refused.append(psql(old, files[number - 1]).stderr)

    for step in STEPS[: number - 1]:
        upgrade(old.logins.owner, old.names, PLAN, only=step)
    files = [script(old.logins.owner, old.names, PLAN, step) for step in STEPS]
    upgrade(old.logins.owner, old.names, Plan(1536, batch_size=100), meet)
    assert AT_WORK in refused[0]
    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715


def test_openmemory_migrate_and_a_procedure_called_by_hand_are_refused_while_a_file_is_at_work(old: Place) -> None:
    for step in STEPS[:2]:
        run(old, step)
    with old.owner() as working:
        named = f"{AT_WORK}: pid {working.info.backend_pid}"
        working.execute(Layout(old.names, PLAN).block("session", "lock").encode())
        with pytest.raises(ConfigurationError, match="another `openmemory migrate` is at work"):
            upgrade(old.logins.owner, old.names, PLAN)
        assert named in psql(old, "CALL openmemory_new_public.lift_rows();").stderr
        refused = psql(old, script(old.logins.owner, old.names, PLAN, STEPS[2])).stderr
    assert f"{named} ('', idle, since 2" in refused
    assert "SELECT pg_terminate_backend(PID)" in refused


def test_a_file_prints_no_results_of_what_it_only_calls(old: Place) -> None:
    for step in STEPS[:4]:
        done = psql(old, script(old.logins.owner, old.names, PLAN, step))
        assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_psql_that_was_killed_in_a_statement_holds_no_lock_for_long(old: Place) -> None:
    layout = Layout(old.names, PLAN)
    before = layout.block("session", "settings") + layout.block("session", "lock")
    with subprocess.Popen(
        [program("psql"), "--no-psqlrc", "--quiet", dsn(old)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        killed.stdin.write(f"{before}\n\\echo locked\nSELECT pg_sleep(3600);\n".encode())
        killed.stdin.flush()
        assert killed.stdout.readline() == b"locked\n"
        killed.kill()

    with old.owner() as next_one:
        next_one.execute(f"SET lock_timeout = '{PATIENCE_S}s'".encode())
        next_one.execute(layout.render("SELECT pg_advisory_lock({lock})").encode())


def test_an_index_whose_build_was_cut_off_after_psqls_steps_is_built_again(old: Place, shared: Path) -> None:
    for step in STEPS[:4]:
        run(old, step)
    with old.owner() as connection:
        # As it is when the fingerprints are filled and the key is being made again.
        connection.execute(
            "ALTER TABLE openmemory_new_public.openmemory_memories DROP CONSTRAINT openmemory_memories_said_once"
        )
        connection.execute(
            "CREATE UNIQUE INDEX openmemory_memories_said_once"
            " ON openmemory_new_public.openmemory_memories (tenant_id, fingerprint)"
        )
        connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'openmemory_new_public.openmemory_memories_said_once'::regclass"
        )

    upgrade(old.logins.owner, old.names, PLAN)

    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715


def test_a_file_that_was_stopped_before_what_is_said_once_has_its_key_is_gone_on_with(old: Place, shared: Path) -> None:
    say_twice(old)
    for step in STEPS[:3]:
        run(old, step)
    paragraphs = script(old.logins.owner, old.names, PLAN, STEPS[3])
    before, keys, _ = paragraphs.partition("-- All of them came in one transaction")
    assert keys
    psql(old, before)
    with old.owner() as connection:
        unique = connection.execute(
            "SELECT FROM pg_class WHERE oid = to_regclass('openmemory_new_public.openmemory_memories_said_once')"
        )
        assert unique.rowcount == 1

    upgrade(old.logins.owner, old.names, PLAN)

    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715


def test_a_file_that_was_made_for_another_tenant_than_the_upgrade_has_is_refused(old: Place) -> None:
    second = script(old.logins.owner, old.names, PLAN, STEPS[1])
    first = psql(old, script(old.logins.owner, old.names, Plan(1536, "acme"), STEPS[0]))
    assert first.returncode == 0, first.stderr

    refused = psql(old, second)

    assert "the upgrade was begun with tenant 'acme', and this file says 'default'" in refused.stderr
    run(old, STEPS[1])
    with old.owner() as connection:
        tenants = connection.execute("SELECT DISTINCT tenant_id FROM openmemory_new_public.openmemory_memories")
        assert tenants.fetchall() == [("acme",)]


def test_a_file_waits_for_a_writer_no_longer_than_openmemory_migrate_does(
    old: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "LOCK_TIMEOUT", "50ms")
    first = script(old.logins.owner, old.names, PLAN, STEPS[0])
    with old.owner() as writing, writing.transaction():
        writing.execute("UPDATE openmemory_users SET summary = 'new'")
        assert "canceling statement due to lock timeout" in psql(old, first).stderr
    assert psql(old, first).returncode == 0


@pytest.mark.parametrize(
    "index", ["openmemory_memories_pkey", "openmemory_vectors_pkey", "openmemory_memories_said_once"]
)
def test_an_index_that_was_left_unfinished_is_built_again_by_a_file(old: Place, index: str) -> None:
    for step in STEPS[:3]:
        run(old, step)
    table = "openmemory_vectors" if "vectors" in index else "openmemory_memories"
    with old.owner() as connection:
        connection.execute(f"DROP INDEX IF EXISTS openmemory_new_public.{index}".encode())
        connection.execute(f"CREATE INDEX {index} ON openmemory_new_public.{table} (id)".encode())
        connection.execute(
            f"UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text ~ '{index}'".encode()
        )
        run(old, STEPS[3])
        found = connection.execute(
            "SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = to_regclass(%s)",
            [f"openmemory_new_public.{index}"],
        ).fetchone()
    assert found == (True, True)
