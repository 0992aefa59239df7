"""Fill a database with memories of many tenants, or go on where a filling stopped: `python -m benchmarks.fill`."""

import argparse
import asyncio
import multiprocessing
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

from benchmarks import corpus, report
from openmemory import app
from openmemory.adapters.embedders import StaticEmbedder
from openmemory.core.scope import Scope
from openmemory.postgres import memories, registry
from openmemory.postgres.database import Database
from openmemory.postgres.direct import connected
from openmemory.postgres.pool import PoolLimits
from openmemory.service.encoding import Encoder
from openmemory.settings import load

BATCH = 500
_AT_ONCE = 2
_SAY_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Filled:
    """How many memories the database has, and how the filling went: seconds without and with the VACUUM."""

    memories: int
    added: int
    seconds: float
    vacuum_s: float


def fill(data_dir: Path, total: int, workers: int) -> Filled:
    """Bring the database of `data_dir` to `total` memories, and VACUUM it if any was missing."""
    settings, embedder = load(environ={"OM_DATA_DIR": str(data_dir)}), StaticEmbedder()
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with app.reached(settings, report.say) as logins:
        ready = app.make_ready(settings, logins, embedder, report.say)
        planned = corpus.tenants(total)
        start = time.perf_counter()
        added = _in_processes(ready, planned, workers)
        seconds = time.perf_counter() - start
        if added:
            report.say("VACUUM (ANALYZE)")
            with connected(logins.owner) as owner:
                owner.execute("VACUUM (ANALYZE)")
                owner.execute("CHECKPOINT")
    return Filled(total, added, seconds, time.perf_counter() - start - seconds)


def _in_processes(ready: app.Readied, planned: Sequence[corpus.Tenant], workers: int) -> int:
    """Fill in `workers` processes, each with its own tenants, and return how many memories were added."""
    context = multiprocessing.get_context("spawn")
    done: Queue[int] = context.Queue()
    # The large ones first in each hand, so that the hands end together.
    shares = [planned[number::workers] for number in range(workers)]
    processes = [context.Process(target=_work, args=(ready, share, done), daemon=True) for share in shares]
    for process in processes:
        process.start()
    added, start, said = 0, time.perf_counter(), 0.0
    wanted = sum(tenant.size for tenant in planned)
    while any(process.is_alive() for process in processes) or not done.empty():
        try:
            added += done.get(timeout=0.2)
        except Empty:
            continue
        seconds = time.perf_counter() - start
        if seconds - said >= _SAY_EVERY_S:
            said = seconds
            report.say(f"{added:,} added of at most {wanted:,}, {added / seconds:,.0f} a second")
    if any(process.exitcode for process in processes):
        raise SystemExit("a filling process failed; run the same command again to go on")
    return added


def _work(ready: app.Readied, tenants: Sequence[corpus.Tenant], done: "Queue[int]") -> None:
    asyncio.run(_fill_tenants(ready, tenants, done))


async def _fill_tenants(ready: app.Readied, tenants: Sequence[corpus.Tenant], done: "Queue[int]") -> None:
    embedder = StaticEmbedder()
    embedder.load()
    encoder = Encoder(embedder, ready.names.dimension)
    async with AsyncExitStack() as stack:
        limits = PoolLimits(most=_AT_ONCE)
        database = await stack.enter_async_context(
            Database(ready.logins.server, ready.names, limits, 600_000, behind_pooler=False)
        )
        waiting = await _pieces(database, tenants)

        async def hand() -> None:
            while waiting:
                tenant, start, stop = waiting.popleft()
                done.put(await _add(database, encoder, tenant, start, stop))

        # While PostgreSQL works on one batch, the next one is encoded.
        await asyncio.gather(*(hand() for _ in range(_AT_ONCE)))


async def _pieces(database: Database, tenants: Sequence[corpus.Tenant]) -> deque[tuple[str, int, int]]:
    """Return what is missing, a batch a piece, in turn from each tenant: as in life, tenants grow side by side."""
    rounds: list[tuple[int, str, int, int]] = []
    for tenant in tenants:
        async with database.registry() as tx:
            await registry.create_tenant(tx, tenant.name)
        async with database.tenant(Scope(tenant.name)) as tx:
            there = (await memories.totals(tx)).memories
        # A filling that was killed may have kept a batch and not the one before it.
        begin = max(0, there - _AT_ONCE * BATCH)
        edges = [*range(begin, tenant.size, BATCH), tenant.size] if there < tenant.size else []
        rounds += [(int(start / tenant.size * 1_000_000), tenant.name, start, stop) for start, stop in pairwise(edges)]
    return deque((name, start, stop) for _, name, start, stop in sorted(rounds))


async def _add(database: Database, encoder: Encoder, tenant: str, start: int, stop: int) -> int:
    """Keep a batch as the service does, and return how many memories of it were not there."""
    now = datetime.now(UTC)
    new = await encoder.encode(list(corpus.memories(tenant, start, stop)), now)
    known = await memories.insert(database, Scope(tenant), new, now, boost=0)
    return len(new) - len(known)


def main() -> None:
    """Fill as the command line says."""
    parser = report.options(__doc__ or "")
    report.add_data_dir(parser)
    add_size(parser)
    args = parser.parse_args()
    filled = fill(args.data_dir, args.memories, args.workers)
    rows = [
        {
            "memories": filled.memories,
            "added": filled.added,
            "seconds": round(filled.seconds, 1),
            "added_per_s": round(filled.added / filled.seconds),
            "vacuum_s": round(filled.vacuum_s, 1),
        }
    ]
    checks = [report.check("seconds to fill a million", filled.seconds + filled.vacuum_s, most=600)]
    show_checks = checks if filled.added >= 1_000_000 else []
    report.show(f"fill {args.data_dir}", rows, show_checks, as_json=args.json)


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how much there shall be, and by how many processes."""
    parser.add_argument(
        "--memories", type=int, default=1_000_000, metavar="N", help="memories in all (default: 1000000)"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that fill (default: 2)")


if __name__ == "__main__":
    main()
