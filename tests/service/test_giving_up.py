"""A large batch that is cancelled, as by a server that stops, is given up after a part of its work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from openmemory.adapters.embedders import NoEmbedder, StaticEmbedder
from openmemory.core.memory import Told
from openmemory.service.encoding import Encoder

LARGE = 99_000
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Stopping(ThreadPoolExecutor):
    """Threads that count what they get to do, and cancel the task that gives them their `last`."""

    def __init__(self, last: int) -> None:
        super().__init__(1)
        self._last = last
        self.begun = 0

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:  # noqa: ANN401 -- as its base
        """Do some work in the thread."""
        self.begun += 1
        if self.begun == self._last:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return super().submit(work, *given, **named)


@pytest.mark.parametrize(
    ("embedder", "last"), [(StaticEmbedder(), 3), (NoEmbedder(), 2)], ids=["embedding", "encoding"]
)
def test_a_cancelled_batch_does_no_more_than_the_part_it_is_at(
    embedder: StaticEmbedder | NoEmbedder, last: int
) -> None:
    told = [Told(f"{place} " + "x " * (LARGE // 2)) for place in range(20)]
    threads = Stopping(last)

    async def encoded() -> None:
        asyncio.get_running_loop().set_default_executor(threads)
        await Encoder(embedder, 256).encode(told, NOON)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(encoded())

    assert threads.begun == last


async def test_a_batch_in_parts_keeps_its_order() -> None:
    told = [Told(f"{place} " + "x " * (LARGE // 2)) for place in range(11)]

    new = await Encoder(StaticEmbedder(), 256).encode(told, NOON)

    assert [one.content for one in new] == [one.content for one in told]
    assert sorted(one.id for one in new) == [one.id for one in new]
    assert [(one.created_at - NOON).microseconds for one in new] == list(range(11))
