"""`openmemory reembed`: every vector moved to another model, and nothing else changed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tokenizers import Tokenizer

from openmemory import app as application
from openmemory.adapters.embedders import HashEmbedder, StaticEmbedder
from openmemory.adapters.embedders.static import TABLE
from openmemory.app import Logins
from openmemory.core.scope import Scope
from openmemory.core.text import spoken
from openmemory.errors import DatabaseUnavailable
from openmemory.postgres import beside
from openmemory.postgres.database import Database
from openmemory.postgres.servers import REEMBED
from openmemory.postgres.statements import Names
from openmemory.service.corpora import Corpora
from tests.conftest import Server, a_database
from tests.postgres.databases import Place, a_name, a_place
from tests.reembedding.moves import COUNTS, TO_HASH, TO_STATIC, TOTAL, Filled, filled, words
from tests.upgrade.catalogues import catalogue

COPIED = (
    "tenant_id, id, sector, user_id, project_id, session_id, session_key, occurred_at, seq, sectors, speaker_key,"
    " traits, terms::text, locator"
)


def test_all_move_to_another_model_and_nothing_else_changes(small: Filled) -> None:
    rows = small.rows("openmemory_vectors", COPIED)
    memories = small.rows("openmemory_memories AS m", "tenant_id, id, m::text")

    ran = small.home(TO_HASH).run("reembed", "--yes", "--json", "--batch-size", "50")

    assert ran.status == 0, ran.err
    assert (ran.json["moved"], ran.json["texts"], ran.json["kept"]) == (True, TOTAL, None)
    assert small.rows("openmemory_vectors", COPIED) == rows
    assert small.rows("openmemory_memories AS m", "tenant_id, id, m::text") == memories
    assert small.facts() == {"embedding_model": "hash-v1", "embedding_dimension": "256", "embedding_type": "vector"}
    assert not small.is_begun()


async def test_each_vector_is_the_one_that_a_server_would_have_made(small: Filled) -> None:
    assert (await asyncio.to_thread(small.home(TO_HASH).run, "reembed", "--yes")).status == 0

    rows = small.rows(
        "openmemory_vectors JOIN openmemory_memories USING (tenant_id, id)",
        "tenant_id, id, content, speaker, embedding::real[]",
    )
    texts = [spoken(str(content), None if speaker is None else str(speaker)) for _, _, content, speaker, _ in rows]
    expected = await HashEmbedder(256).embed(texts)
    assert np.array_equal(np.array([embedding for *_, embedding in rows], np.float32), expected)


@pytest.mark.parametrize("kind", ["vector", "halfvec"])
def test_the_catalogue_ends_as_that_of_a_fresh_database(small: Filled, postgres: Server, kind: str) -> None:
    assert small.home(TO_HASH, OM_VEC_TYPE=kind).run("reembed", "--yes").status == 0

    names = replace(small.place.names, dimension=256, vector_type=kind)
    fresh = Place(a_database(postgres, a_name("om_db")), names)
    fresh.migrate()
    with fresh.owner() as there, small.place.owner() as here:
        assert catalogue(here, names) == catalogue(there, names)


def test_tenants_stay_walled_and_find_their_own(small: Filled) -> None:
    assert small.home(TO_STATIC).run("reembed", "--yes").status == 0

    assert small.found(StaticEmbedder(), "brook", "which lighthouse is painted?", k=50)[0].startswith("brook ")
    assert all(one.startswith("acme ") for one in small.found(StaticEmbedder(), "acme", "the bakery", k=200))
    with psycopg.connect(**small.place.as_role(small.place.names.app_role)) as tenant:  # type: ignore[arg-type]
        assert tenant.execute("SELECT count(*) FROM openmemory_vectors").fetchone() == (0,)
        tenant.execute("SET app.current_tenant = 'brook'")
        assert tenant.execute("SELECT DISTINCT tenant_id FROM openmemory_vectors").fetchall() == [("brook",)]
    asked = small.home(TO_STATIC, OM_TENANT="acme").run("query", "which lighthouse is painted?", "--json")
    assert asked.status == 0, asked.err


def test_other_commands_refuse_until_it_is_done_and_serve_after(small: Filled) -> None:
    owner = small.home(TO_STATIC)
    assert "openmemory reembed" in words(owner.run("list"))

    assert owner.run("reembed", "--yes").status == 0

    assert owner.run("list", "--tenant", "acme").status == 0
    assert "nothing to do" in words(owner.run("reembed", "--yes"))


def test_a_dry_run_counts_and_changes_nothing(small: Filled) -> None:
    rows = small.rows("openmemory_memories", "tenant_id, id, content, speaker")
    texts = [spoken(str(content), None if speaker is None else str(speaker)) for _, _, content, speaker in rows]
    tokenizer = Tokenizer.from_file(str(TABLE / "tokenizer.json"))
    tokens = sum(len(tokenizer.encode(one, add_special_tokens=False).ids) for one in texts)

    exact = small.home(TO_STATIC).run("reembed", "--dry-run", "--json")
    estimate = small.home(TO_HASH).run("reembed", "--dry-run")

    assert (exact.json["texts"], exact.json["tokens"], exact.json["tokens_are_exact"]) == (TOTAL, tokens, True)
    assert "an estimate" in words(estimate)
    assert "counted by its own tokenizer" in words(small.home(TO_STATIC).run("reembed", "--dry-run"))
    assert not small.is_begun()
    assert small.facts()["embedding_dimension"] == "64"


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_without_a_yes_nothing_is_changed(small: Filled, answer: str) -> None:
    ran = small.home(TO_HASH).run("reembed", stdin=answer)

    assert ran.status == 1
    assert f"Embed {TOTAL} texts" in words(ran)
    assert not small.is_begun()


def test_old_vectors_can_be_kept_once(small: Filled) -> None:
    ran = small.home(TO_HASH).run("reembed", "--yes", "--keep-old")

    assert "openmemory_before_public" in words(ran)
    kept = "SELECT count(*) FROM openmemory_before_public.openmemory_vectors WHERE vector_dims(embedding) = 64"
    assert small.value(kept) == TOTAL
    again = small.home(TO_STATIC).run("reembed", "--yes", "--keep-old")
    assert again.status == 1
    assert "drop it first" in words(again)
    assert small.home(TO_STATIC).run("reembed", "--yes").status == 0


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ({"OM_EMBEDDINGS": "none", "OM_VEC_DIM": "64"}, (), "OM_EMBEDDINGS=none makes no vectors"),
        (TO_HASH, ("--abandon", "--dry-run"), "--abandon"),
        (TO_HASH, ("--quarantined", "--keep-old"), "--keep-old"),
        (TO_HASH, ("--batch-size", "0"), "--batch-size"),
        (TO_HASH, ("--quarantined",), "the vectors in use are of hash-v1 (64 dimensions"),
        ({**TO_HASH, "OM_PG_TABLE": "others"}, (), "OM_PG_TABLE=openmemory_memories"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(
    small: Filled, settings: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    ran = small.home(settings).run("reembed", "--yes", *arguments)

    assert ran.status != 0
    assert said in words(ran)
    assert not small.is_begun()


def test_a_database_without_our_tables_is_sent_to_migrate(place: Place, tmp_path: Path) -> None:
    ran = Filled(place, tmp_path).home(TO_HASH).run("reembed", "--yes")

    assert ran.status == 1
    assert "openmemory migrate" in words(ran)


def test_a_server_that_is_connected_is_named_and_the_exchange_waits_for_the_next_run(small: Filled) -> None:
    with psycopg.connect(**small.place.logins.owner, application_name="old-server"):  # type: ignore[arg-type]
        ran = small.home(TO_HASH).run("reembed", "--yes")

    assert ran.status == 1
    assert "every text is embedded, but what may be a server is still connected: old-server" in words(ran)
    assert "old-server" in words(ran)
    assert small.facts()["embedding_dimension"] == "64"
    assert small.found(HashEmbedder(64), "brook", "lighthouse")
    again = small.home(TO_HASH).run("reembed", "--yes", "--json")
    assert (again.json["moved"], again.json["texts"]) == (True, 0)


def test_sessions_of_a_pooler_can_be_passed_over(small: Filled) -> None:
    with psycopg.connect(**small.place.logins.owner, application_name="pooler"):  # type: ignore[arg-type]
        ran = small.home(TO_HASH).run("reembed", "--yes", "--ignore-sessions")

    assert ran.status == 0, ran.err
    assert small.facts()["embedding_dimension"] == "256"


async def test_a_server_that_stayed_connected_notices_that_the_vectors_are_others(small: Filled) -> None:
    corpora = Corpora(1 << 30)
    async with Database(small.place.logins.owner, small.place.names, behind_pooler=False) as database:
        async with database.tenant(Scope("brook"), read_only=True) as tx:
            assert len(await corpora.of(tx, shared=False)) == COUNTS["brook"]
        assert (await asyncio.to_thread(small.home(TO_HASH).run, "reembed", "--yes", "--ignore-sessions")).status == 0

        with pytest.raises(DatabaseUnavailable, match="no longer have the 64 dimensions"):
            async with database.tenant(Scope("brook"), read_only=True) as tx:
                await corpora.of(tx, shared=False)


def test_a_live_session_that_holds_a_table_is_waited_for_only_so_long(
    small: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert beside._LOCK_TIMEOUT == "5s"
    monkeypatch.setattr(beside, "_LOCK_TIMEOUT", "100ms")
    with psycopg.connect(**small.place.logins.owner, application_name=REEMBED) as live:  # type: ignore[arg-type]
        live.execute("LOCK TABLE openmemory_memories IN SHARE MODE")
        ran = small.home(TO_HASH).run("reembed", "--yes")

    assert ran.status == 1
    assert "a live session holds a table" in words(ran)
    assert not small.is_begun()


def test_of_two_at_once_the_second_is_refused(small: Filled) -> None:
    with small.place.owner() as other:
        other.execute("SELECT pg_advisory_lock(7234190855120551004)")
        ran = small.home(TO_HASH).run("reembed", "--yes")

    assert ran.status == 1
    assert "another `openmemory reembed` is at work" in words(ran)


def test_what_depends_on_the_old_vectors_is_named_and_can_be_moved_along(small: Filled) -> None:
    small.run("CREATE VIEW theirs AS SELECT id FROM openmemory_vectors")

    refused = small.home(TO_HASH).run("reembed", "--yes")

    assert refused.status == 1
    assert "--keep-old" in words(refused)
    assert small.home(TO_HASH).run("reembed", "--yes", "--keep-old").status == 0


def test_an_owner_whom_row_level_security_binds_moves_every_tenant_too(postgres: Server, tmp_path: Path) -> None:
    with a_place(postgres, Names(dimension=64)) as place:
        role = place.with_role("NOLOGIN NOBYPASSRLS CREATEROLE")
        with place.owner() as connection:
            name = connection.info.dbname
            connection.execute(f'CREATE EXTENSION vector; ALTER DATABASE "{name}" OWNER TO "{role}"'.encode())
        owner = place.as_role(role)
        bound = replace(place, logins=Logins(owner, owner, None, behind_pooler=False))
        some = filled(bound, tmp_path, COUNTS)
        assert some.value("SELECT count(*) FROM openmemory_memories") == 0  # what it sees itself

        ran = some.home(TO_HASH, OM_PG_DSN=make_conninfo("", **owner)).run("reembed", "--yes", "--json")

        assert ran.status == 0, ran.err
        assert ran.json["texts"] == TOTAL
        all_seen = replace(some, place=place)
        assert all_seen.value("SELECT count(embedding) FROM openmemory_vectors") == TOTAL
        forced = "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname ~ '^openmemory_(memories|vectors)$'"
        assert all_seen.value(forced) is True
        application.bring_up_to_date(bound.logins, replace(place.names, dimension=256), HashEmbedder(256))
        with place.owner() as connection:
            connection.execute(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP OWNED BY "{role}"'.encode())
            connection.execute(f'DROP ROLE "{role}"'.encode())


def test_other_names_and_the_indexes_that_were_chosen_come_along(postgres: Server, tmp_path: Path) -> None:
    names = Names(schema='a "b" 100%', memories="talk", vectors="talk_vectors", dimension=64)
    chosen = {"OM_PG_SCHEMA": names.schema, "OM_PG_TABLE": "talk", "OM_VECTOR_TABLE": "talk_vectors"}
    with a_place(postgres, names) as place:
        some = filled(place, tmp_path, COUNTS)

        ran = some.home({**TO_HASH, **chosen}, OM_PGVECTOR_INDEX_TYPE="hnsw").run("reembed", "--yes")

        assert ran.status == 0, ran.err
        query = "SELECT count(*) FROM pg_indexes WHERE tablename = 'talk_vectors' AND indexdef ~ 'USING hnsw'"
        assert some.value(query) == 5
        assert some.found(HashEmbedder(256), "brook", "lighthouse")
