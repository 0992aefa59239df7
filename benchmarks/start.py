"""Start `openmemory serve` on a filled folder until it is ready, some times over: `python -m benchmarks.start`."""

from statistics import median

from benchmarks import report
from benchmarks.serving import serving


def main() -> None:
    """Measure as the command line says."""
    parser = report.options(__doc__ or "")
    report.add_data_dir(parser)
    parser.add_argument("--times", type=int, default=5, metavar="N", help="how often (default: 5)")
    args = parser.parse_args()
    if not args.data_dir.is_dir():
        raise SystemExit(f"{args.data_dir} is not there; fill it with `python -m benchmarks.fill`")
    seconds = []
    for _ in range(args.times):
        with serving(args.data_dir) as server:
            seconds.append(server.ready_s)
    rows = [{"start": number, "ready_s": round(one, 3)} for number, one in enumerate(seconds, 1)]
    checks = [
        report.check("median seconds until /ready", median(seconds), most=3),
        report.check("slowest start, seconds", max(seconds), most=3),
    ]
    report.show(f"start {args.data_dir}", rows, checks, as_json=args.json)


if __name__ == "__main__":
    main()
