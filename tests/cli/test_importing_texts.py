"""`import sqlite` where a provider makes the vectors: what it refuses keeps nothing else from having one."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.adapters.provider import Answer, serving, status, well
from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.cli.test_importing import file
from tests.postgres.databases import Place
from tests.upgrade.old_databases import dsn

__all__ = ["file"]

UNWELCOME = "what no provider wants to read"


def picky(texts: list[str]) -> Answer:
    """Refuse the one text that is unwelcome."""
    return status(400)(texts) if UNWELCOME in texts else well(texts)


@pytest.mark.parametrize("kind", ["vector", "halfvec"])
async def test_a_text_that_the_provider_refuses_is_warned_of_and_all_others_are_embedded(
    place: Place, file: Path, shared_home: Home, kind: str
) -> None:
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        upstreams.execute("UPDATE memories SET content = ? WHERE id = (SELECT min(id) FROM memories)", [UNWELCOME])
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--yes")

    async with serving(picky) as provider:
        asking = shared_home.with_settings(
            OM_PG_DSN=dsn(place),
            OM_PG_APP_ROLE=place.names.app_role,
            OM_EMBEDDINGS="openai",
            OM_EMBED_MODEL="three",
            OM_OPENAI_BASE_URL=provider.url,
            OM_VEC_DIM="3",
            OM_VEC_TYPE=kind,
        )
        ran = await asyncio.to_thread(asking.run, *arguments)
        again = await asyncio.to_thread(asking.run, *arguments, "--json")

    assert ran.status == 0, ran.err
    assert "1 text can be found by words alone: each is refused by the embedding server" in words(ran)
    assert UNWELCOME not in words(ran)
    assert again.json["embedded"] == 0
    with place.owner() as connection:
        rows = connection.execute("SELECT count(*) FROM openmemory_vectors WHERE embedding IS NULL").fetchone()
    assert rows == (0,)
