"""Add memories one by one and in batches, with vectors and with text: `python -m benchmarks.adds`.

What is added belongs to tenants of their own and is deleted when all is measured, so that no measurement bears the
VACUUM of another one's rows; that one is left to autovacuum.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from benchmarks import corpus, load, report
from benchmarks.questions import add_load
from benchmarks.serving import Served, serving
from openmemory.adapters.embedders import StaticEmbedder
from openmemory.core.memory import Told
from openmemory.core.text import spoken

_WARM_UP_S = 2.0
_SINGLES_A_SECOND, _BATCHED_A_SECOND = 2_500, 12_000


@dataclass(frozen=True, slots=True)
class Case:
    """A way to add: how many memories a request, whether it brings vectors, and how many a second are demanded."""

    name: str
    batch: int
    vectors: bool
    demanded: float


CASES = (
    Case("single, embedding", 1, True, 1_000),
    Case("single, text", 1, False, 500),
    Case("batches of 200, embedding", 200, True, 10_000),
    Case("batches of 200, text", 200, False, 2_000),
    Case("batches of 1000, embedding", 1_000, True, 10_000),
    Case("batches of 1000, text", 1_000, False, 2_000),
)


def requests(case: Case, tenant: str, count: int) -> list[load.Request]:
    """Return requests that add `count` memories, no two alike, made before the clock runs."""
    path = "/memory/add" if case.batch == 1 else "/memory/add/batch"
    return [load.post(tenant, path, body, case.batch) for body in bodies(case.batch, case.vectors, count)]


def bodies(batch: int, vectors: bool, count: int, user: str | None = None) -> list[bytes]:
    """Return the bodies that add about `count` memories in batches, of `user` or of several."""
    told = list(corpus.memories("added", 0, -(-count // batch) * batch))
    embeddings = _embeddings(told) if vectors else [None] * len(told)
    items = [_item(one, embedding, user) for one, embedding in zip(told, embeddings, strict=True)]
    if batch == 1:
        return [orjson.dumps(item) for item in items]
    return [orjson.dumps({"items": items[at : at + batch]}) for at in range(0, len(items), batch)]


def _embeddings(told: Sequence[Told]) -> list[list[float]]:
    embedder = StaticEmbedder()
    vectors = asyncio.run(embedder.embed([spoken(one.content, one.speaker) for one in told]))
    # As many digits as a client that has float32 sends.
    return [list(row) for row in np.round(vectors.astype(np.float64), 8).tolist()]


def _item(told: Told, embedding: list[float] | None, user: str | None) -> dict[str, object]:
    assert told.occurred_at is not None
    item: dict[str, object] = {
        "content": told.content,
        "user_id": user or told.user_id,
        "session_id": told.session_id,
        "speaker": told.speaker,
        "occurred_at": told.occurred_at.isoformat(),
    }
    return item if embedding is None else {**item, "embedding": embedding}


@dataclass(frozen=True, slots=True)
class Added:
    """What was measured, and the tenant that has up to `count` memories of it."""

    run: load.Run
    tenant: str
    count: int


def measure(server: Served, case: Case, users: int, seconds: float) -> Added:
    """Return what `users` measured who added for `seconds`."""
    a_second = _SINGLES_A_SECOND if case.batch == 1 else _BATCHED_A_SECOND
    tenant = f"adds-{time.time_ns():x}"
    report.say(f"{case.name}: making the requests")
    count = int(a_second * (seconds + _WARM_UP_S))
    made = iter(requests(case, tenant, count))
    load.run(server, users, made, _WARM_UP_S)
    return Added(load.run(server, users, made, seconds), tenant, count)


def _deletions(tenant: str, count: int) -> Iterator[load.Request]:
    for user in range(count // corpus.PER_USER + 1):
        yield load.delete(tenant, f"/users/user-{user:04}/memories")


def main() -> None:
    """Measure as the command line says."""
    parser = report.options((__doc__ or "").partition("\n")[0])
    report.add_data_dir(parser)
    add_load(parser, users=16, seconds=10)
    parser.add_argument("--batch-users", type=int, default=4, metavar="N", help="who send batches (default: 4)")
    parser.add_argument("--only", metavar="WORD", default="", help="only the ways whose name has this word")
    args = parser.parse_args()
    rows: list[report.Figures] = []
    checks = []
    all_added: list[Added] = []
    with serving(args.data_dir) as server:
        for case in CASES:
            if args.only in case.name:
                users = args.users if case.batch == 1 else args.batch_users
                added = measure(server, case, users, args.seconds)
                all_added.append(added)
                measured = added.run
                rows.append({"adds": case.name, "clients": users, **measured.figures()})
                rate = measured.things / measured.seconds
                checks.append(report.check(f"{case.name}, a second", rate, least=case.demanded))
        report.say("deleting what was added")
        for added in all_added:
            load.run(server, 1, _deletions(added.tenant, added.count), 600)
    report.show(f"adds {args.data_dir}", rows, checks, as_json=args.json)


if __name__ == "__main__":
    main()
