"""A lifted old database moves to the configured model, and what its upgrade set aside gets vectors."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from openmemory.adapters.embedders import HashEmbedder, StaticEmbedder
from openmemory.core.scope import Scope
from openmemory.postgres.beside import new_vectors
from openmemory.postgres.database import Database
from openmemory.postgres.reembedding import Beside
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.service.corpora import Corpora
from tests.conftest import Server, a_database
from tests.postgres.databases import Place, a_name
from tests.reembedding.moves import TO_HASH, TO_STATIC, Filled, words
from tests.upgrade.catalogues import catalogue
from tests.upgrade.old_databases import an_old_place

ASIDE = "openmemory_vector_quarantine"
PENDING = f"SELECT count(*) FROM {ASIDE} WHERE repaired_at IS NULL"
WITHOUT = "SELECT count(*) FROM openmemory_vectors WHERE embedding IS NULL"


@pytest.fixture
def lifted(postgres: Server, shared: Path, tmp_path: Path) -> Iterator[Filled]:
    """Yield the recorded database before pgvector, lifted: several rows a memory, by a model that nobody has."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector", 1536) as old:
        upgrade(old.logins.owner, old.names, Plan(1536), login=old.logins.server_user)
        yield Filled(old, tmp_path)


def test_a_lifted_database_moves_with_one_row_a_memory(lifted: Filled, postgres: Server) -> None:
    ran = lifted.home(TO_STATIC).run("reembed", "--yes", "--json")

    assert ran.status == 0, ran.err
    assert (ran.json["texts"], ran.json["from"]["embedding_model"]) == (568, "unknown")
    rows = "SELECT count(*) FROM openmemory_vectors v JOIN openmemory_memories m USING (tenant_id, id)"
    assert lifted.value(f"{rows} WHERE v.sector = m.primary_sector AND v.embedding IS NOT NULL") == 568
    assert lifted.value("SELECT count(*) FROM openmemory_vectors") == 568
    content = str(lifted.value("SELECT content FROM openmemory_memories WHERE content ~ '^[A-Z][a-z ]{30}' LIMIT 1"))
    assert content in lifted.found(StaticEmbedder(), "default", content, k=5)
    fresh = Place(a_database(postgres, a_name("om_db")), replace(lifted.place.names, dimension=256))
    fresh.migrate()
    with fresh.owner() as there, lifted.place.owner() as here:
        left = ("openmemory_embed_logs", "openmemory_stats", "stats")
        assert catalogue(here, fresh.names, *left) == catalogue(there, fresh.names)


def test_the_way_back_to_the_old_tables_stays_open(lifted: Filled) -> None:
    owner = lifted.home(TO_STATIC)
    assert owner.run("reembed", "--yes").status == 0

    back = owner.run("migrate", "--down", "--yes")

    assert back.status == 0, back.err
    assert lifted.value("SELECT count(v) FROM openmemory_vectors") == 715
    assert "openmemory migrate" in words(owner.run("reembed", "--yes"))


def test_the_way_back_names_an_unfinished_run_that_would_go_on_with_other_memories(lifted: Filled) -> None:
    owner = lifted.home(TO_STATIC)
    with new_vectors(lifted.place.logins.owner, Beside.of(replace(lifted.place.names, dimension=256))) as new:
        new.begin({"embedding_model": "static-v1", "embedding_dimension": "256", "embedding_type": "vector"})

    refused = owner.run("migrate", "--down", "--yes")

    assert refused.status == 1
    assert "openmemory reembed --abandon" in words(refused)
    assert owner.run("reembed", "--abandon", "--yes").status == 0
    assert owner.run("migrate", "--down", "--yes").status == 0


def test_after_it_the_model_of_the_vectors_is_not_to_be_renamed(lifted: Filled) -> None:
    owner = lifted.home(TO_STATIC)
    assert owner.run("reembed", "--yes").status == 0

    refused = owner.run("migrate", "--embedding-model", "openai:text-embedding-3-small", "--yes")

    assert refused.status == 1
    assert "made the vectors anew since, with static" in words(refused)
    assert owner.run("list", "--json").status == 0


def test_an_upgrade_that_is_not_over_comes_first(postgres: Server, shared: Path, tmp_path: Path) -> None:
    with an_old_place(postgres, shared, "legacy-v1.2.0", 1536) as old:
        upgrade(old.logins.owner, old.names, Plan(1536), only=STEPS[0])

        ran = Filled(old, tmp_path).home(TO_STATIC).run("reembed", "--yes")

        assert ran.status == 1
        assert "openmemory migrate" in words(ran)


def test_what_was_set_aside_is_repaired_by_the_recorded_model(mixed: Filled) -> None:
    aside, without = mixed.value(f"SELECT count(*) FROM {ASIDE}"), mixed.value(WITHOUT)
    assert isinstance(without, int)
    assert without > 0
    counted = mixed.home(TO_HASH).run("reembed", "--quarantined", "--dry-run", "--json")
    assert counted.status == 0, counted.err
    assert mixed.value(WITHOUT) == without
    mixed.run(
        f"INSERT INTO {ASIDE} (tenant_id, id, sector, reason) VALUES ('default', gen_random_uuid(), 'semantic', 'gone')"
    )

    ran = mixed.home(TO_HASH).run("reembed", "--quarantined", "--yes", "--json", "--batch-size", "7")

    assert ran.status == 0, ran.err
    assert (ran.json["texts"], ran.json["entries"]) == (counted.json["texts"], aside)
    assert (ran.json["without_memory"], mixed.value(PENDING)) == (1, 1)
    assert mixed.value(WITHOUT) == 0
    again = mixed.home(TO_HASH).run("reembed", "--quarantined", "--yes")
    assert "0 memories repaired" in words(again)
    assert "1 stay, for no memory has their id" in words(again)
    assert mixed.found(HashEmbedder(256), "default", "what", k=3)


async def test_a_server_that_knows_the_memories_sees_what_was_repaired(mixed: Filled) -> None:
    corpora = Corpora(1 << 30)
    async with Database(mixed.place.logins.owner, mixed.place.names, behind_pooler=False) as database:
        scope = Scope("default")
        async with database.tenant(scope, read_only=True) as tx:
            before = await corpora.of(tx, shared=False)
            assert await corpora.of(tx, shared=False) is before

        assert (await asyncio.to_thread(mixed.home(TO_HASH).run, "reembed", "--quarantined", "--yes")).status == 0

        async with database.tenant(scope, read_only=True) as tx:
            assert await corpora.of(tx, shared=False) is not before


def test_moving_everything_repairs_what_was_set_aside_as_well(mixed: Filled) -> None:
    refused = mixed.home(TO_STATIC).run("reembed", "--quarantined", "--yes")
    assert refused.status == 1
    assert "which repairs these as well" in words(refused)

    assert mixed.home(TO_STATIC).run("reembed", "--yes").status == 0

    assert mixed.value(WITHOUT) == 0
    assert mixed.value(PENDING) == 0


def test_the_old_vector_of_a_repaired_memory_stays_whole_and_is_pending_no_more(mixed: Filled) -> None:
    held = f"SELECT md5(string_agg(id || sector || dim || reason || v::text, '|' ORDER BY id, sector)) FROM {ASIDE}"
    before = mixed.value(held)
    assert mixed.home(TO_HASH).run("migrate", "status", "--json").json["set_aside"]

    assert mixed.home(TO_HASH).run("reembed", "--quarantined", "--yes").status == 0

    assert mixed.value(held) == before
    left = mixed.home(TO_HASH).run("migrate", "status", "--json").json["set_aside"]
    assert [one for one in left if "; kept " not in one["reason"]] == []


def test_a_database_that_was_never_lifted_has_nothing_to_repair(small: Filled) -> None:
    ran = small.home({"OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "64"}).run("reembed", "--quarantined", "--yes")

    assert ran.status == 0, ran.err
    assert "nothing was set aside" in words(ran)
