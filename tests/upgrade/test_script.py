"""The steps through psql alone come to the same rows as those of `openmemory migrate`."""

import subprocess
from pathlib import Path

import pytest

from openmemory.postgres.shared_indexes import IndexChoice
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.script import script
from openmemory.postgres.upgrade.steps import state, upgrade
from tests.conftest import Server
from tests.postgres.databases import Place
from tests.upgrade.old_databases import PATIENCE_S, an_old_place, dsn, program, verify

ROWS = "SELECT md5(string_agg(v::text, '|' ORDER BY v.id, v.sector)) FROM (SELECT tenant_id, id, sector, user_id, occurred_at, sectors, traits, terms, embedding FROM openmemory_vectors) v"  # noqa: E501


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


def test_four_steps_by_psql_and_the_rest_by_migrate_give_the_same_rows(
    old: Place, postgres: Server, shared: Path
) -> None:
    for step in STEPS[:4]:
        done = psql(old, script(old.logins.owner, old.names, Plan(1536), step))
        assert done.returncode == 0, done.stderr
    refused = psql(old, script(old.logins.owner, old.names, Plan(1536), STEPS[4]))
    assert "Run openmemory migrate, which fills them" in refused.stderr
    assert upgrade(old.logins.owner, old.names, Plan(1536)).steps == (STEPS[4],)
    assert verify(old, shared, "legacy-pre-pgvector")["identical"] == 715
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as other:
        upgrade(other.logins.owner, other.names, Plan(1536))
        with old.owner() as one, other.owner() as two:
            assert one.execute(ROWS).fetchone() == two.execute(ROWS).fetchone()
    assert state(old.logins.owner, old.names)["step"] == "done"


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
