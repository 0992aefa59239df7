"""A re-embedding that is stopped, killed, or met by writes goes on where it was and misses nothing."""

import asyncio
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from openmemory.adapters.embedders import HashEmbedder
from openmemory.core.memory import Change, Told
from openmemory.core.scope import Scope
from openmemory.postgres.beside import new_vectors
from openmemory.postgres.reembedding import Beside
from tests.adapters.provider import Answer, Provider, serving, status, well
from tests.cli.homes import COMMAND, Home
from tests.cli.test_backup import wait_until_it_waits
from tests.reembedding.moves import TO_HASH, TO_STATIC, TOTAL, Filled, on_rooms, words
from tests.service.conftest import Rooms

KILLS = 8
FAR_TOO_OFTEN = 40


def to_provider(small: Filled, provider: Provider) -> Home:
    """Return settings that choose the provider of the test."""
    chosen = {"OM_EMBEDDINGS": "openai", "OM_EMBED_MODEL": "three", "OM_OPENAI_BASE_URL": provider.url}
    return small.home({**chosen, "OM_VEC_DIM": "3"})


def asked_for(provider: Provider) -> list[str]:
    """Return the texts that the provider was asked for."""
    return [text for texts in provider.inputs for text in texts]


async def test_a_provider_that_refuses_in_the_middle_stops_it_and_the_next_run_asks_for_the_rest(small: Filled) -> None:
    async with serving(well, well, status(401)) as refusing:
        ran = await asyncio.to_thread(to_provider(small, refusing).run, "reembed", "--yes", "--batch-size", "20")
    assert ran.status == 1
    assert "answered 401" in words(ran)
    assert "run `openmemory reembed` again to go on" in words(ran)
    assert small.facts()["embedding_dimension"] == "64"
    assert await asyncio.to_thread(small.found, HashEmbedder(64), "brook", "lighthouse")

    async with serving(well) as provider:
        dry = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--dry-run", "--json")
        ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes", "--json")

    assert dry.json["texts"] == TOTAL - 40
    assert (ran.status, ran.json["texts"]) == (0, TOTAL - 40)
    assert sorted(asked_for(provider) + asked_for(refusing)[:40]) == sorted(
        {*asked_for(provider), *asked_for(refusing)}
    )
    lengths = "SELECT count(*) FROM openmemory_vectors WHERE embedding IS NOT NULL AND vector_dims(embedding) = 3"
    assert small.value(lengths) == TOTAL


async def test_a_text_that_the_provider_refuses_is_warned_of_and_keeps_no_other_from_moving(small: Filled) -> None:
    def picky(texts: list[str]) -> Answer:
        return status(400)(texts) if any("cedar number 0" in text for text in texts) else well(texts)

    async with serving(picky) as provider:
        ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes")

    assert ran.status == 0, ran.err
    assert "reembedding.texts_refused" in words(ran)
    assert "is refused by the embedding server" in words(ran)
    assert "cedar number 0" not in words(ran)
    assert small.facts()["embedding_dimension"] == "3"


async def test_a_backup_that_is_brought_back_takes_an_unfinished_run_with_it(small: Filled, tmp_path: Path) -> None:
    file, old = tmp_path / "before.dump", {"OM_EMBEDDINGS": "hash", "OM_VEC_DIM": "64"}
    assert (await asyncio.to_thread(small.home(old).run, "backup", str(file))).status == 0
    async with serving(well, status(401)) as refusing:
        await asyncio.to_thread(to_provider(small, refusing).run, "reembed", "--yes", "--batch-size", "20")
    assert small.is_begun()

    ran = await asyncio.to_thread(small.home(old).run, "restore", str(file), "--yes")

    assert ran.status == 0, ran.err
    assert not small.is_begun()
    async with serving(well) as provider:
        again = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes", "--json")
    assert (again.status, again.json["texts"]) == (0, TOTAL)


async def test_killed_while_the_provider_is_asked_it_goes_on_with_the_rest(small: Filled) -> None:
    reached = asyncio.Event()

    def telling(texts: list[str]) -> Answer:
        reached.set()
        return well(texts)

    async with serving(well, well, telling, None) as silent:
        home = to_provider(small, silent)
        killed = await asyncio.create_subprocess_exec(
            *COMMAND, "reembed", "--yes", "--batch-size", "20", env=home.environment, stderr=subprocess.PIPE
        )
        await asyncio.wait_for(reached.wait(), 60)
        killed.kill()
        await killed.communicate()
    assert killed.returncode == -9
    assert small.is_begun()

    async with serving(well) as provider:
        ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes", "--json")

    assert ran.status == 0, ran.err
    assert TOTAL - 60 <= ran.json["texts"] <= TOTAL - 40
    assert small.value("SELECT count(*) FROM openmemory_vectors WHERE vector_dims(embedding) = 3") == TOTAL


def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(small: Filled) -> None:
    moments = random.Random(6)  # noqa: S311 -- no secret
    home = small.home(TO_HASH)
    for _ in range(KILLS):
        with subprocess.Popen(
            [*COMMAND, "reembed", "--yes", "--batch-size", "3"], env=home.environment, stderr=subprocess.PIPE
        ) as one:
            with suppress(subprocess.TimeoutExpired):
                one.wait(moments.uniform(0.6, 1.8))
            one.kill()
            said = one.communicate()[1].decode()
            # The session of the one before may hold the lock for a moment after its client was killed.
            assert one.returncode in {0, -9} or "another `openmemory reembed`" in said or "still connected" in said, (
                said
            )

    last = home.run("reembed", "--yes")

    assert last.status == 0, last.err
    assert small.facts()["embedding_dimension"] == "256"
    assert small.value("SELECT count(*) FROM openmemory_vectors WHERE vector_dims(embedding) = 256") == TOTAL
    assert not small.is_begun()


def test_killed_between_the_exchange_and_its_last_work_the_next_run_does_that(mixed: Filled) -> None:
    command = ("reembed", "--yes", "--ignore-sessions")
    with mixed.place.owner() as holder, holder.transaction(), mixed.home(TO_STATIC).started(*command) as one:
        holder.execute("LOCK TABLE openmemory_vector_quarantine")
        wait_until_it_waits(mixed.place)
        one.kill()
    assert mixed.facts()["embedding_model"] == "static-v1"
    pending = "SELECT count(*) FROM openmemory_vector_quarantine WHERE repaired_at IS NULL"
    assert mixed.value(pending) != 0

    ran = mixed.home(TO_STATIC).run("reembed", "--yes", "--json")

    assert ran.status == 0, ran.err
    assert (ran.json["moved"], ran.json["tidied"]) == (False, True)
    assert mixed.value(pending) == 0
    assert mixed.home(TO_STATIC).run("reembed", "--yes", "--json").json["tidied"] is False


async def test_what_is_written_changed_and_deleted_meanwhile_is_in_the_new_vectors(small: Filled) -> None:
    threads = ThreadPoolExecutor(1)
    ids = [id_ for _, id_ in small.rows("openmemory_memories", "tenant_id, id", "brook")]
    changed, deleted, late = ids[0], ids[1], "a new tenant moves in"

    async def write(rooms: Rooms) -> None:
        await rooms.memories.change(Scope("brook"), changed, Change("rewritten while it ran"))  # type: ignore[arg-type]
        await rooms.memories.delete(Scope("brook"), deleted)  # type: ignore[arg-type]
        await rooms.memories.add(Scope("late"), Told(late))

    def writing(texts: list[str]) -> Answer:
        threads.submit(on_rooms, small.place, HashEmbedder(64), write).result()
        return well(texts)

    replies: list[Callable[[list[str]], Answer]] = [*[well] * 8, writing, well]
    async with serving(*replies) as provider:
        ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes", "--batch-size", "20")

    assert ran.status == 0, ran.err
    rows = small.rows(
        "openmemory_vectors JOIN openmemory_memories USING (tenant_id, id)", "content, speaker, embedding::real[]"
    )
    assert len(rows) == TOTAL  # one more, one less
    lengths = {str(content): len(f"{speaker}: {content}" if speaker else str(content)) for content, speaker, _ in rows}
    assert {"rewritten while it ran", late} <= lengths.keys()
    for content, _, embedding in rows:
        assert isinstance(embedding, list)
        assert embedding[0] / embedding[1] == pytest.approx(lengths[str(content)], rel=1e-5)


async def test_writes_that_never_stop_end_it_and_do_not_keep_it_at_work_for_ever(small: Filled) -> None:
    def writing(texts: list[str]) -> Answer:
        if len(provider.bodies) <= FAR_TOO_OFTEN:
            small.run("UPDATE openmemory_memories SET content = content || '.' WHERE tenant_id = 'cedar'")
        return well(texts)

    async with serving(writing) as provider:
        ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes")

        assert ran.status == 1
        assert "memories are written all the time, so the exchange finds no moment" in words(ran)
        assert len(provider.bodies) < FAR_TOO_OFTEN
        assert small.facts()["embedding_dimension"] == "64"


def test_there_is_no_exchange_over_a_change_that_came_in_the_last_moment(small: Filled) -> None:
    with psycopg.connect(**small.place.logins.owner):  # type: ignore[arg-type]  # keeps the first run from the exchange
        assert small.home(TO_HASH).run("reembed", "--yes").status == 1
    small.run("UPDATE openmemory_memories SET content = 'the last word' WHERE tenant_id = 'cedar'")

    with new_vectors(small.place.logins.owner, Beside.of(small.place.names)) as new:
        assert new.exchange({"embedding_model": "another"}, keep=False) is False

    assert small.is_begun()
    assert small.facts()["embedding_model"] == "hash-v1"
    assert small.home(TO_HASH).run("reembed", "--yes", "--json").json["texts"] == 1


def test_an_unfinished_run_is_finished_or_abandoned_but_never_mixed_with_another(small: Filled) -> None:
    small.run("CREATE VIEW theirs AS SELECT id FROM openmemory_vectors")
    assert small.home(TO_HASH).run("reembed", "--yes").status == 1
    assert small.is_begun()

    other = small.home(TO_HASH, OM_VEC_DIM="128").run("reembed", "--yes")
    assert other.status == 1
    assert "--abandon" in words(other)
    assert small.home(TO_HASH).run("reembed", "--abandon").status == 1
    assert small.is_begun()
    assert small.home(TO_HASH).run("reembed", "--abandon", "--yes", "--json").json == {"abandoned": True}
    assert not small.is_begun()
    assert small.home(TO_HASH).run("reembed", "--abandon", "--yes", "--json").json == {"abandoned": False}
    assert small.found(HashEmbedder(64), "brook", "lighthouse")
    assert small.value("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
    assert small.home(TO_HASH, OM_VEC_DIM="128").run("reembed", "--yes", "--keep-old").status == 0


def test_many_small_tenants_are_few_calls_of_the_embedder(small: Filled) -> None:
    async def run() -> tuple[int, Provider]:
        async with serving(well) as provider:
            ran = await asyncio.to_thread(to_provider(small, provider).run, "reembed", "--yes")
            return ran.status, provider

    code, provider = asyncio.run(run())

    assert code == 0
    assert [len(texts) for texts in provider.inputs] == [TOTAL]
