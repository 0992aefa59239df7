"""Ask without pauses, as the guide's load test does: `python -m benchmarks.questions`.

Both legs, ten answers. "varied": each question is another one; "same": the guide's own load, one question again and
again.
"""

import argparse
from collections.abc import Iterator
from itertools import cycle

import orjson

from benchmarks import corpus, load, report
from benchmarks.serving import Served, serving

_DIFFERENT = 2_000
_WARM_UP_S = 2.0
_GUIDES_QUESTION = "user preferences"


def varied(tenant: str, size: int) -> Iterator[load.Request]:
    """Return different questions without end."""
    return cycle([_asking(tenant, text) for text in corpus.questions(tenant, size, _DIFFERENT)])


def same(tenant: str) -> Iterator[load.Request]:
    """Return one question without end."""
    return cycle([_asking(tenant, _GUIDES_QUESTION)])


def _asking(tenant: str, text: str) -> load.Request:
    return load.post(tenant, "/memory/query", orjson.dumps({"query": text, "top_k": 10}))


def measure(server: Served, users: int, seconds: float) -> list[dict[str, float | str | bool]]:
    """Return a row for each tenant, kind of load and number of users."""
    rows: list[dict[str, float | str | bool]] = []
    for tenant, size in ((corpus.ASKED_SMALL, corpus.SMALL), (corpus.ASKED_LARGE, corpus.LARGE)):
        load.run(server, users, varied(tenant, size), _WARM_UP_S)
        for kind, requests, many in (
            ("varied", varied(tenant, size), users),
            ("same", same(tenant), users),
            ("varied", varied(tenant, size), 1),
        ):
            report.say(f"{tenant}, {kind}, {many} users")
            measured = load.run(server, many, requests, seconds)
            rows.append({"tenant": tenant, "questions": kind, "users": many, **measured.figures()})
    return rows


def demanded(rows: list[dict[str, float | str | bool]]) -> list[report.Figures]:
    """Return what issue 3 demands, beside what was measured, and the ratios within this run."""
    first = rows[0]
    checks = [
        report.check("p95 of 3,000 under load, ms", float(first["p95_ms"]), most=100),
        report.check("slowest of 3,000 under load, ms", float(first["max_ms"]), most=200),
        report.check("errors in all", sum(float(row["errors"]) for row in rows), most=0),
    ]
    ratio = float(rows[3]["p50_ms"]) / float(first["p50_ms"])
    return [*checks, report.check("median of 30,000 / of 3,000, under load", ratio)]


def main() -> None:
    """Measure as the command line says."""
    parser = report.options((__doc__ or "").partition("\n")[0])
    report.add_data_dir(parser)
    add_load(parser)
    args = parser.parse_args()
    with serving(args.data_dir) as server:
        rows = measure(server, args.users, args.seconds)
    report.show(f"questions {args.data_dir}", rows, demanded(rows), as_json=args.json)


def add_load(parser: argparse.ArgumentParser, users: int = 50, seconds: float = 15) -> None:
    """Add the options that say how many ask, and for how long."""
    parser.add_argument("--users", type=int, default=users, metavar="N", help=f"users at once (default: {users})")
    parser.add_argument(
        "--seconds", type=float, default=seconds, metavar="S", help=f"length of each measurement (default: {seconds:g})"
    )


if __name__ == "__main__":
    main()
