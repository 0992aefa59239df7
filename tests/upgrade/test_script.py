"""The steps through psql alone come to the same rows as those of `openmemory migrate`."""

import subprocess
from pathlib import Path

import pytest

from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.upgrade.plan import STEPS, Plan, Progress
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, an_old_place, dsn, program, verify

VECTORS = "SELECT md5(string_agg(v::text, '|' ORDER BY v.id, v.sector)) FROM (SELECT tenant_id, id, sector, user_id, occurred_at, sectors, traits, terms, embedding FROM openmemory_vectors) v"  # noqa: E501
MEMORIES = "SELECT id, fingerprint, m::text FROM openmemory_memories m ORDER BY id"


def psql(place: Place, text: str) -> "subprocess.CompletedProcess[str]":
    """Run a script as its owner would."""
    return subprocess.run(
        [program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", dsn(place)],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("by_psql", [2, 3, 4])
def test_steps_by_psql_and_the_rest_by_migrate_give_the_same_rows(
    old: Place, postgres: Server, shared: Path, by_psql: int
) -> None:
    say_twice(old)
    with old.owner() as connection:
        # Such a one has PostgreSQL refuse changes to tables without a key.
        connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    for step in STEPS[:by_psql]:
        done = psql(old, script(old.logins.owner, old.names, Plan(1536), step))
        assert done.returncode == 0, done.stderr
    assert upgrade(old.logins.owner, old.names, Plan(1536)).steps == STEPS[by_psql:]
    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as other:
        say_twice(other)
        upgrade(other.logins.owner, other.names, Plan(1536))
        with old.owner() as one, other.owner() as two:
            assert one.execute(VECTORS).fetchone() == two.execute(VECTORS).fetchone()
            assert one.execute(MEMORIES).fetchall() == two.execute(MEMORIES).fetchall()
    assert state(old.logins.owner, old.names)["step"] == "done"


def test_fingerprints_that_were_cut_short_are_made_to_the_end(old: Place) -> None:
    say_twice(old)
    for step in STEPS[:4]:
        assert psql(old, script(old.logins.owner, old.names, Plan(1536), step)).returncode == 0

    def cut(progress: Progress) -> None:
        if progress.doing == "fingerprints" and progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade(old.logins.owner, old.names, Plan(1536), on_progress=cut)
    upgrade(old.logins.owner, old.names, Plan(1536))

    with old.owner() as connection:
        made = connection.execute("SELECT count(*), count(fingerprint) FROM openmemory_memories").fetchone()
        unique = connection.execute("SELECT FROM pg_constraint WHERE conname = 'openmemory_memories_said_once'")
        assert unique.rowcount == 1
    assert made == (568, 565)


def say_twice(place: Place) -> None:
    """Have three old memories say the same."""
    with place.owner() as connection:
        connection.execute(
            "UPDATE openmemory_memories SET content = 'said thrice', user_id = NULL"
            " WHERE id IN (SELECT id FROM openmemory_memories ORDER BY id LIMIT 3)"
        )


def test_the_last_step_by_psql_wants_what_no_sql_can_make(old: Place) -> None:
    for step in STEPS[:4]:
        assert psql(old, script(old.logins.owner, old.names, Plan(1536), step)).returncode == 0

    refused = psql(old, script(old.logins.owner, old.names, Plan(1536), STEPS[4]))

    assert "Run openmemory migrate, which fills them" in refused.stderr


def test_a_step_in_another_database_makes_nothing(old: Place, place: Place) -> None:
    refused = psql(place, script(old.logins.owner, old.names, Plan(1536), STEPS[0]))

    assert "has no table" in refused.stderr
    assert "psql --dbname=NAME" in refused.stderr
    with place.owner() as connection:
        made = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert made.fetchall() == []


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_the_guides_index_is_built_and_its_query_uses_it(old: Place, kind: str) -> None:
    upgrade(old.logins.owner, old.names, Plan(1536), index=IndexChoice(kind, lists=4))
    with old.owner() as connection:
        # Of 235 rows a planner would rather sort them all.
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        plan = connection.execute(
            "EXPLAIN SELECT id, embedding <=> array_fill(0.1, ARRAY[1536])::vector AS distance FROM openmemory_vectors"
            " WHERE tenant_id = 'default' AND sector = 'semantic' ORDER BY 2 LIMIT 10"
        ).fetchall()
    assert f"idx_vectors_semantic_{kind}" in str(plan)
