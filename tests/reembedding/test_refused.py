"""A text that the embedder refuses is told of, and what an upgrade set aside of it is not called repaired."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openmemory.postgres.upgrade.plan import Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.adapters.provider import Answer, Provider, rows, serving, status
from tests.cli.homes import Home, Ran
from tests.conftest import Server
from tests.reembedding.moves import TO_HASH, TO_STATIC, Filled, words
from tests.upgrade.old_databases import an_old_place

ASIDE = "openmemory_vector_quarantine"
SET_ASIDE = f"SELECT count(*) FROM {ASIDE} WHERE repaired_at IS NULL"
REPAIRED_OF = f"SELECT count(repaired_at) FROM {ASIDE} WHERE id = "
TOO_LONG = "zyzzyva"
DIMENSION = 256


@pytest.fixture
def aside(postgres: Server, shared: Path, tmp_path: Path) -> Iterator[Filled]:
    """Yield a lifted database of the provider's model, with most of its vectors set aside."""
    with an_old_place(postgres, shared, "legacy-pre-pgvector-mixed-dims", DIMENSION) as old:
        upgrade(old.logins.owner, old.names, Plan(DIMENSION, embedding_model="openai:wide"))
        yield Filled(old, tmp_path)


def picky(texts: list[str]) -> Answer:
    """Refuse a text with the word, and answer vectors of 256 numbers for others."""
    if any(TOO_LONG in text for text in texts):
        return status(400)(texts)
    vectors = [[float(len(text)), 1.0, *[0.0] * (DIMENSION - 2)] for text in texts]
    return rows([{"index": place, "embedding": vector} for place, vector in enumerate(vectors)])


def to_provider(some: Filled, provider: Provider) -> Home:
    """Return settings that choose the provider of the test."""
    chosen = {"OM_EMBEDDINGS": "openai", "OM_EMBED_MODEL": "wide", "OM_OPENAI_BASE_URL": provider.url}
    return some.home({**chosen, "OM_VEC_DIM": str(DIMENSION)})


async def ran(some: Filled, *arguments: str, reply: Callable[[list[str]], Answer] = picky) -> Ran:
    """Return what `reembed` says with a provider that answers like `reply`."""
    async with serving(reply) as provider:
        return await asyncio.to_thread(to_provider(some, provider).spawn, "reembed", "--yes", *arguments)


def spoiled(some: Filled) -> str:
    """Give a memory that is set aside a text that is refused; return its id."""
    id_ = str(some.value(f"SELECT a.id FROM {ASIDE} a JOIN openmemory_memories USING (tenant_id, id) ORDER BY entry"))
    some.run(f"UPDATE openmemory_memories SET content = '{TOO_LONG} 1' WHERE id = '{id_}'")
    return id_


def set_aside_again(some: Filled, id_: str) -> None:
    """Set aside two vectors of one memory, which are then pages apart."""
    some.run(f"INSERT INTO {ASIDE} (tenant_id, id, sector, reason) VALUES ('default', '{id_}', 'emotional', 'again')")


async def test_a_refused_text_stays_set_aside_and_is_named_and_tried_again(aside: Filled) -> None:
    id_ = spoiled(aside)
    set_aside_again(aside, id_)
    entries = aside.value(f"SELECT count(*) FROM {ASIDE} WHERE id = '{id_}'")
    total = aside.value(SET_ASIDE)
    assert isinstance(entries, int)
    assert isinstance(total, int)
    counted = (await ran(aside, "--quarantined", "--dry-run", "--json")).json["texts"]

    first = await ran(aside, "--quarantined", "--json", "--batch-size", "7")

    assert first.status == 0, first.err
    assert first.json["refused"] == {"texts": 1, "first": [{"tenant": "default", "id": id_}]}
    assert first.json["entries"] == total - entries
    assert first.json["texts"] in {counted - 1, counted - 2}
    assert aside.value(f"{REPAIRED_OF} '{id_}'") == 0
    assert aside.value(SET_ASIDE) == entries
    set_aside = (await asyncio.to_thread(aside.home(TO_HASH).run, "migrate", "status", "--json")).json["set_aside"]
    assert any("; kept " not in one["reason"] for one in set_aside)

    again = await ran(aside, "--quarantined")
    assert "0 memories repaired, 0 entries of the quarantine marked so" in words(again)
    assert f"1 text was refused and stays set aside: {id_} of default" in words(again)
    aside.run(f"UPDATE openmemory_memories SET content = 'shorter' WHERE id = '{id_}'")
    last = await ran(aside, "--quarantined", "--json")
    assert (last.json["texts"], last.json["entries"]) == (1, entries)
    assert last.json["refused"] == {"texts": 0, "first": []}
    assert aside.value(SET_ASIDE) == 0


async def test_a_move_leaves_what_was_refused_set_aside_for_a_later_repair(aside: Filled) -> None:
    assert (await asyncio.to_thread(aside.home(TO_STATIC).run, "reembed", "--yes")).status == 0
    id_ = spoiled(aside)
    aside.run(f"UPDATE {ASIDE} SET repaired_at = NULL")

    moved = await ran(aside, "--json")

    assert moved.status == 0, moved.err
    assert moved.json["refused"] == {"texts": 1, "first": [{"tenant": "default", "id": id_}]}
    assert moved.json["texts"] == int(str(aside.value("SELECT count(*) FROM openmemory_memories"))) - 1
    nothing = f"embedding = array_append(array_fill(0, ARRAY[{DIMENSION - 1}]), 1)::vector"
    assert aside.value(f"SELECT count(*) FROM openmemory_vectors WHERE id = '{id_}' AND {nothing}") == 1
    left = aside.value(SET_ASIDE)
    assert left == aside.value(f"SELECT count(*) FROM {ASIDE} WHERE id = '{id_}'")
    again = await ran(aside, "--quarantined", "--json")
    assert (again.json["texts"], again.json["refused"]["texts"]) == (0, 1)
    aside.run(f"UPDATE openmemory_memories SET content = 'shorter' WHERE id = '{id_}'")
    assert (await ran(aside, "--quarantined", "--json")).json["entries"] == left
    assert aside.value(f"SELECT count(*) FROM openmemory_vectors WHERE id = '{id_}' AND {nothing}") == 0


async def test_a_move_names_the_first_of_the_texts_that_were_refused(small: Filled) -> None:
    small.run(f"UPDATE openmemory_memories SET content = '{TOO_LONG} ' || id WHERE tenant_id = 'brook'")
    ids = [str(id_) for id_, _ in small.rows("openmemory_memories", "id, tenant_id", "brook")]

    moved = await ran(small)

    assert moved.status == 0, moved.err
    named = ", ".join(f"{id_} of brook" for id_ in ids[:5])
    assert f"{len(ids)} texts were refused and are found by their words alone: {named} and 35 more" in words(moved)
    assert "131 texts embedded" in words(moved)
