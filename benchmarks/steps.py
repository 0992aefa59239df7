"""Where the time of a batch goes, step by step, in processor time per 1,000 memories: `python -m benchmarks.steps`.

The steps of `POST /memory/add/batch` are run one after the other in this process, as the server runs them.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import to_json

from benchmarks import adds, cpu, report
from openmemory import app, wire
from openmemory.adapters.embedders import StaticEmbedder
from openmemory.core.memory import NewMemory, Told
from openmemory.core.scope import Scope
from openmemory.core.text import spoken
from openmemory.postgres import memories
from openmemory.postgres.database import Database
from openmemory.postgres.pool import PoolLimits
from openmemory.server import encoding
from openmemory.service.encoding import Encoder
from openmemory.service.keeping import Added
from openmemory.settings import load

_USER = "steps"
_EVERY_ONE = 2**31 - 1


class Stopwatch:
    """Adds up the processor time of steps, in this process and in PostgreSQL."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.here_s: dict[str, float] = defaultdict(float)
        self.postgres_s: dict[str, float] = defaultdict(float)
        self.waited_s: dict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        postgres, here, start = cpu.postgres_seconds(self._data_dir), time.process_time(), time.perf_counter()
        yield
        self.waited_s[name] += time.perf_counter() - start
        self.here_s[name] += time.process_time() - here
        self.postgres_s[name] += cpu.postgres_seconds(self._data_dir) - postgres

    def rows(self, memories: int) -> list[report.Figures]:
        """Return milliseconds per 1,000 memories by step."""
        share = 1_000_000 / memories
        rows: list[report.Figures] = [
            {
                "step": name,
                "python_cpu_ms": round(self.here_s[name] * share, 1),
                "postgres_cpu_ms": round(self.postgres_s[name] * share, 1),
                "elapsed_ms": round(self.waited_s[name] * share, 1),
            }
            for name in self.here_s
        ]
        whole = {key: round(sum(float(row[key]) for row in rows), 1) for key in rows[0] if key != "step"}
        return [*rows, {"step": "together", **whole}]


async def walk(ready: app.Readied, bodies: Sequence[bytes], watch: Stopwatch) -> None:
    """Take each body through the steps of a batch, and delete at the end what was added."""
    embedder = StaticEmbedder()
    embedder.load()
    encoder = Encoder(embedder, ready.names.dimension)
    scope = Scope(f"steps-{time.time_ns():x}")
    async with AsyncExitStack() as stack:
        limits = PoolLimits(most=1)
        database = await stack.enter_async_context(
            Database(ready.logins.server, ready.names, limits, behind_pooler=ready.logins.behind_pooler)
        )
        for body in bodies:
            told = _read(body, watch)
            new = await _encoded(encoder, told, watch)
            await _keep(database, scope, new, watch)
        async with database.tenant(scope) as tx:
            await memories.delete_of_user(tx, _USER, _EVERY_ONE)


def _read(body: bytes, watch: Stopwatch) -> list[Told]:
    with watch.step("JSON read and validated"):
        request = wire.AddBatchRequest.model_validate_json(body)
    with watch.step("to values (lists to arrays)"):
        return [encoding.told(item) for item in request.items]


async def _encoded(encoder: Encoder, told: list[Told], watch: Stopwatch) -> list[NewMemory]:
    if told[0].embedding is None:
        with watch.step("embed"):
            found = await encoder.embedder.embed([spoken(one.content, one.speaker) for one in told])
        told = [replace(one, embedding=vector) for one, vector in zip(told, found, strict=True)]
    with watch.step("check, sector, terms, fingerprint"):
        return await encoder.encode(told, datetime.now(UTC))


async def _keep(database: Database, scope: Scope, new: list[NewMemory], watch: Stopwatch) -> None:
    with watch.step("INSERT, committed"):
        await memories.insert(database, scope, new, datetime.now(UTC), 0.1)
    with watch.step("answer"):
        results = [encoding.added(Added(one.id, one.primary_sector, one.sectors, False)) for one in new]
        to_json(wire.AddBatchAnswer(results=list(results)))


def main() -> None:
    """Measure as the command line says."""
    parser = report.options((__doc__ or "").partition("\n")[0])
    report.add_data_dir(parser)
    parser.add_argument("--batch", type=int, default=1_000, metavar="N", help="memories a batch (default: 1000)")
    parser.add_argument("--batches", type=int, default=10, metavar="N", help="how many (default: 10)")
    args = parser.parse_args()
    settings, embedder = load(environ={"OM_DATA_DIR": str(args.data_dir)}), StaticEmbedder()
    with app.reached(settings, report.say) as logins:
        ready = app.make_ready(settings, logins, embedder, report.say)
        for kind in (True, False):
            bodies = adds.bodies(args.batch, kind, args.batch * args.batches, user=_USER)
            watch = Stopwatch(args.data_dir)
            asyncio.run(walk(ready, bodies, watch))
            title = f"batches of {args.batch} with {'embedding' if kind else 'text'}, ms per 1,000 memories"
            report.show(title, watch.rows(args.batch * args.batches), as_json=args.json)


if __name__ == "__main__":
    main()
