"""Asked by an embedding alone, the search finds what comparing every vector finds, by each distance."""

from collections.abc import AsyncIterator
from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmemory.adapters.embedders import Embedder, NoEmbedder
from openmemory.app import Logins
from openmemory.core.memory import Asked, Embedding, Told
from openmemory.core.scope import Scope
from openmemory.errors import Malformed, Unprocessable
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.postgres.statements import Distance, Names
from tests.factories import a_scope
from tests.service import worlds
from tests.service.conftest import Rooms, rooms_on

DISTANCES: tuple[Distance, ...] = ("cosine", "l2", "ip")


@pytest.fixture(scope="session")
async def by_distance(logins: Logins, names: Names, embedder: Embedder) -> AsyncIterator[dict[str, Rooms]]:
    """Yield services over the same tables for each distance."""
    limits = PoolLimits(most=2)
    async with (
        Database(logins.server, replace(names, distance="cosine"), limits) as cosine,
        Database(logins.server, replace(names, distance="l2"), limits) as l2,
        Database(logins.server, replace(names, distance="ip"), limits) as ip,
    ):
        opened = zip(DISTANCES, (cosine, l2, ip), strict=True)
        yield {distance: rooms_on(one, embedder, one.names) for distance, one in opened}


@pytest.fixture
def bring_your_own(database: Database, names: Names) -> Rooms:
    """Return services that embed nothing themselves."""
    return rooms_on(database, NoEmbedder(), names)


def _similarity(kept: Embedding, asked: Embedding, distance: Distance) -> float:
    one, two = kept.astype(np.float64), asked.astype(np.float64)
    if distance == "ip":
        return float(one @ two / (two @ two))
    if distance == "l2":
        return 1 - float(np.sum((one - two) ** 2) / (two @ two)) / 2
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def _relevance(similarity: float) -> float:
    """Return the relevance of a memory of half the salience."""
    return similarity * 1.015 if similarity > 0 else similarity


@pytest.mark.parametrize("distance", DISTANCES)
@settings(deadline=None, max_examples=12)
@given(kept=st.lists(worlds.seeds, min_size=1, max_size=40, unique=True), asked=worlds.seeds, scale=st.floats(0.01, 2))
async def test_the_nearest_are_those_of_comparing_every_vector(
    by_distance: dict[str, Rooms], distance: Distance, kept: list[int], asked: int, scale: float
) -> None:
    rooms, scope, question = by_distance[distance], a_scope(), worlds.embedding_of(asked) * np.float32(scale)
    vectors = {f"memory {seed}": worlds.embedding_of(seed) for seed in kept}
    await rooms.memories.add_all(
        scope, [Told(text, embedding=vector, salience=0.5) for text, vector in vectors.items()]
    )

    matches = (await rooms.search.find(scope, Asked(None, question, k=1000, explain=True))).matches
    few = (await rooms.search.find(scope, Asked(None, question, k=3))).matches

    wanted = {text: _relevance(_similarity(vector, question, distance)) for text, vector in vectors.items()}
    similarities = [match.explanation.relevance for match in matches if match.explanation]
    assert similarities == pytest.approx([wanted[match.memory.content] for match in matches], rel=1e-4, abs=1e-4)
    assert len(matches) == len(vectors)
    positive = [one for one in similarities if one > 0]
    assert positive == sorted(positive, reverse=True)
    for match, similarity in zip(matches, similarities, strict=True):
        assert match.score == pytest.approx(1 - exp(-max(similarity, 0) / 0.3), abs=1e-6)
    third = sorted(wanted.values(), reverse=True)[: len(few)]
    assert sorted((wanted[one.memory.content] for one in few), reverse=True) == pytest.approx(third, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("distance", DISTANCES)
async def test_a_thousand_vectors_without_structure_and_of_any_length_come_in_the_order_of_their_distance(
    by_distance: dict[str, Rooms], distance: Distance
) -> None:
    rooms, scope, numbers = by_distance[distance], a_scope(), np.random.default_rng(7)
    vectors = numbers.normal(size=(1_000, 256)) * numbers.uniform(0.3, 3, size=(1_000, 1))
    kept = {f"memory {place}": vector.astype(np.float32) for place, vector in enumerate(vectors)}
    await rooms.memories.add_all(scope, [Told(text, embedding=one, salience=0.5) for text, one in kept.items()])
    question = numbers.normal(size=256).astype(np.float32)

    found = (await rooms.search.find(scope, Asked(None, question, k=20))).matches

    nearest = sorted(kept, key=lambda text: -_similarity(kept[text], question, distance))
    assert [match.memory.content for match in found] == nearest[:20]
    assert 1 > found[0].score > found[19].score > 0


@pytest.mark.parametrize("distance", DISTANCES)
async def test_a_score_that_is_shown_passes_as_min_score(by_distance: dict[str, Rooms], distance: Distance) -> None:
    rooms, scope = by_distance[distance], a_scope()
    told = [Told(f"memory {seed}", embedding=worlds.embedding_of(seed)) for seed in range(40)]
    await rooms.memories.add_all(scope, told)
    question = worlds.embedding_of(3)
    whole = [match.score for match in (await rooms.search.find(scope, Asked(None, question, k=40))).matches]

    for score in whole:
        passing = (await rooms.search.find(scope, Asked(None, question, k=40, min_score=score))).matches
        assert [match.score for match in passing] == [one for one in whole if one >= score]


async def test_memories_without_an_embedding_do_not_crowd_out_those_that_have_one(
    bring_your_own: Rooms, scope: Scope
) -> None:
    near, asked = worlds.embedding_of(1), worlds.embedding_of(1) + worlds.embedding_of(2) * np.float32(0.5)
    told = [Told(f"without {place}") for place in range(700)]
    await bring_your_own.memories.add_all(scope, [Told("with", embedding=near), *told])

    found = await bring_your_own.search.find(scope, Asked(None, asked, k=3, explain=True))

    assert found.matches[0].memory.content == "with"
    similarity = _similarity(near, asked, "cosine")
    relevance = similarity * (1 + 0.03 * found.matches[0].salience)
    assert found.matches[0].score == pytest.approx(1 - exp(-relevance / 0.3))
    assert [match.score for match in found.matches[1:]] == [0, 0]


async def test_a_neighbour_without_an_embedding_adds_nothing_to_the_context(
    bring_your_own: Rooms, scope: Scope
) -> None:
    near = worlds.embedding_of(1)
    talk = [Told("first", session_id="s"), Told("second", session_id="s", embedding=near)]
    await bring_your_own.memories.add_all(scope, talk)

    found = await bring_your_own.search.find(scope, Asked(None, near, explain=True))

    explained = {match.memory.content: match.explanation for match in found.matches}["second"]
    assert explained is not None
    assert explained.context_dense == pytest.approx(0, abs=1e-6)


async def test_where_nothing_is_embedded_words_still_find(bring_your_own: Rooms, scope: Scope) -> None:
    await bring_your_own.memories.add_all(scope, [Told("the brass lamp"), Told("a pear tree")])

    found = await bring_your_own.search.find(scope, Asked("lamp", min_score=0.1))

    assert [match.memory.content for match in found.matches] == ["the brass lamp"]
    with pytest.raises(Unprocessable):
        await NoEmbedder().embed(["x"])


@pytest.mark.parametrize(
    "asked", [Asked(None), Asked(None, np.ones(3, np.float32)), Asked("x", np.zeros(256, np.float32))]
)
async def test_a_question_that_cannot_be_compared_is_refused(rooms: Rooms, scope: Scope, asked: Asked) -> None:
    with pytest.raises(Malformed):
        await rooms.search.find(scope, asked)
