"""Ask one tenant in a small and in a large database, in turn: `python -m benchmarks.growth`.

Two servers, each on its own PostgreSQL, hold the same tenant of 3,000 memories among 10,000 and among a million. They
are asked in turn, A B A B, so that what else the machine does meets both; the idle one costs nothing.
"""

from pathlib import Path

from benchmarks import corpus, load, report
from benchmarks.fill import fill
from benchmarks.questions import add_load, varied
from benchmarks.serving import Served, serving

_SMALL_TOTAL = 10_000
_WARM_UP_S = 2.0


def measure(servers: dict[str, Served], users: int, seconds: float, rounds: int) -> dict[str, load.Run]:
    """Return what each database measured over all rounds."""
    runs: dict[str, list[load.Run]] = {name: [] for name in servers}
    asked = {name: varied(corpus.ASKED_SMALL, corpus.SMALL) for name in servers}
    for server in servers.values():
        load.run(server, users, varied(corpus.ASKED_SMALL, corpus.SMALL), _WARM_UP_S)
    for number in range(rounds):
        report.say(f"round {number + 1} of {rounds}, {users} users")
        for name, server in servers.items():
            runs[name].append(load.run(server, users, asked[name], seconds))
    return {name: load.together(of_one) for name, of_one in runs.items()}


def compare(small: Path, large: Path, users: int, seconds: float, rounds: int) -> tuple[list[report.Figures], ...]:
    """Return the rows of both databases with one user and with `users`, and the ratios of their medians."""
    rows: list[report.Figures] = []
    checks: list[report.Figures] = []
    with serving(small) as one, serving(large) as other:
        for many in sorted({1, users}):
            runs = measure({"small": one, "large": other}, many, seconds, rounds)
            rows += [{"database": name, "users": many, **run.figures()} for name, run in runs.items()]
            ratio = runs["large"].at(0.5) / runs["small"].at(0.5)
            checks.append(report.check(f"median large / small, {many} users", ratio, 0.8, 1.2))
    return rows, checks


def main() -> None:
    """Measure as the command line says; the small database is filled if it is not there."""
    parser = report.options((__doc__ or "").partition("\n")[0])
    report.add_data_dir(parser)
    parser.add_argument(
        "--small-dir", type=Path, metavar="FOLDER", help="folder of the small database (default: beside the large one)"
    )
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="how often each is asked (default: 4)")
    add_load(parser, seconds=5)
    args = parser.parse_args()
    small = (args.small_dir or args.data_dir.parent / "ten-thousand").resolve()
    fill(small, _SMALL_TOTAL, workers=1)
    rows, checks = compare(small, args.data_dir, args.users, args.seconds, args.rounds)
    report.show(f"growth {small} / {args.data_dir}", rows, checks, as_json=args.json)


if __name__ == "__main__":
    main()
