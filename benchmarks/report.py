"""What a benchmark says: a table for people, or one JSON object with `--json`."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Figures = Mapping[str, float | str | bool]

DATA_DIR = Path.home() / ".cache" / "openmemory-benchmarks" / "million"
_DATA_DIR_OF_ROOT = Path("/var/tmp/openmemory-benchmarks/million")  # noqa: S108 -- kept between runs; PostgreSQL's own user must reach it


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return parser


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder that holds the database."""
    default = _DATA_DIR_OF_ROOT if os.geteuid() == 0 else DATA_DIR
    parser.add_argument(
        "--data-dir",
        type=lambda text: Path(text).resolve(),
        default=default,
        metavar="FOLDER",
        help=f"folder of the database, kept between runs (default: {default})",
    )


def say(text: str) -> None:
    """Tell people how it goes, on standard error."""
    print(text, file=sys.stderr, flush=True)


def show(title: str, rows: Sequence[Figures], checks: Sequence[Figures] = (), *, as_json: bool) -> None:
    """Print figures, a row a measurement, and then what was demanded of them."""
    if as_json:
        print(json.dumps({"benchmark": title, "machine": _machine(), "rows": rows, "checks": checks}, indent=1))
        return
    print(f"\n{title}  ({_machine()['processors']} processors, load {_machine()['load']} before)")
    _table(rows)
    if checks:
        print()
        _table(checks)


def check(what: str, value: float, least: float | None = None, most: float | None = None) -> Figures:
    """Return whether `value` lies where it must, as a row of the report."""
    met = (least is None or value >= least) and (most is None or value <= most)
    bounds = [f">= {least:g}"] if least is not None else []
    bounds += [f"<= {most:g}"] if most is not None else []
    return {"demanded": what, "value": round(value, 3), "bound": " and ".join(bounds), "met": met}


def _table(rows: Sequence[Figures]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    texts = [all(isinstance(row.get(name, ""), str) for row in rows) for name in names]
    for line in cells:
        padded = [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, texts, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _cell(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return value if isinstance(value, str) else f"{value:,.10g}"


def _machine() -> dict[str, str]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "processors": str(os.cpu_count()),
        "load": f"{load:.1f}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
