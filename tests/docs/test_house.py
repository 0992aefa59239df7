"""What CONTRIBUTING.md asks of every file."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES_AT_MOST = 300


def test_no_file_of_python_has_more_than_300_lines() -> None:
    files = [file for room in ("src", "tests", "benchmarks", "docs") for file in (ROOT / room).rglob("*.py")]

    lengths = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}

    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > LINES_AT_MOST} == {}
