"""Long questions are read beside the event loop, one after the other, so that they keep nobody else waiting."""

import asyncio
import threading

import pytest

from openmemory.core.memory import Asked, Told
from openmemory.core.question import Question, Vocabulary, understand
from openmemory.core.scope import Scope
from tests.factories import a_scope
from tests.service.conftest import Rooms

LONG = "what did the keeper say of the lamp " * 40


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Return the threads in which questions are read during the test."""
    found: list[threading.Thread] = []

    def noted(text: str, vocabulary: Vocabulary) -> Question:
        found.append(threading.current_thread())
        return understand(text, vocabulary)

    monkeypatch.setattr("openmemory.service.search.understand", noted)
    return found


async def test_many_long_questions_are_read_by_one_thread_beside_the_loop(
    rooms: Rooms, scope: Scope, readers: list[threading.Thread]
) -> None:
    await rooms.memories.add(scope, Told("The keeper said that the lamp is lit at dusk"))
    asked = [Asked(f"{LONG} {number}") for number in range(30)]

    found = await asyncio.gather(*(rooms.search.find(scope, one) for one in asked))

    assert all(len(one.matches) == 1 for one in found)
    assert len(set(readers)) == 1
    assert threading.current_thread() not in readers


async def test_a_short_question_is_read_at_once(rooms: Rooms, readers: list[threading.Thread]) -> None:
    await rooms.search.find(a_scope(), Asked("where is the lamp?"))

    assert readers == [threading.current_thread()]
