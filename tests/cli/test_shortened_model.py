"""A database whose vectors an OpenAI model shortened is served with the settings that `serve` names, word for word."""

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.adapters.provider import of_length, serving
from tests.cli.homes import Home, a_port, call
from tests.cli.old_owners import words
from tests.conftest import Server
from tests.upgrade.old_databases import an_old_place, dsn

_SETTING = re.compile(r"\b(OM_\w+)=([^\s;)]+)")


@pytest.fixture
def lifted(postgres: Server, shared: Path, shared_home: Home) -> Iterator[Home]:
    """Yield the settings of an owner who upgraded vectors of 256 dimensions and named their model."""
    with an_old_place(postgres, shared, "legacy-v1.2.0", 256) as old:
        owner = shared_home.with_settings(OM_PG_DSN=dsn(old), OM_PG_APP_ROLE=old.names.app_role)
        model = "openai:text-embedding-3-small"
        assert owner.run("migrate", "--yes", "--embedding-model", model).status == 0
        yield owner


async def test_shortened_vectors_are_asked_and_added_with_the_settings_that_the_refusal_names(lifted: Home) -> None:
    async with serving(partial(of_length, 1536)) as provider:
        there = lifted.with_settings(OM_OPENAI_BASE_URL=provider.url, OM_OPENAI_API_KEY="a-key")
        chosen = there.with_settings(OM_EMBEDDINGS="openai", OM_EMBED_MODEL="text-embedding-3-small")
        refused = await asyncio.to_thread(chosen.spawn, "serve", "--port", str(a_port()))
        assert refused.status == 1
        named = dict(_SETTING.findall(words(refused).partition(". Set ")[2].partition("; or ")[0]))
        assert named["OM_VEC_DIM"] == "256"

        found = await asyncio.to_thread(_asked_and_added, there.with_settings(**named))

        assert found
        assert [body.get("dimensions") for body in provider.bodies] == [None, None, 256, 256]


def _asked_and_added(home: Home) -> list[object]:
    """Return the matches of a question, after a memory was added."""
    port = a_port()
    with home.serving(port):
        call(port, "/memory/add", {"content": "Noor bought an espresso machine"}, "default")
        found: list[object] = call(port, "/memory/query", {"query": "what did Noor buy"}, "default")["matches"]
        return found
