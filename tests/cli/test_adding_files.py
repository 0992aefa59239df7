"""`add --file`: many memories, none lost and none twice."""

import json
from pathlib import Path

import pytest

from tests.cli.homes import Home


def a_file(folder: Path, count: int, *bad: tuple[int, str]) -> Path:
    """Return a file of `count` lines; `bad` ones stand at their number."""
    lines = [json.dumps({"content": f"Stone number {number} of the tower"}) for number in range(1, count + 1)]
    for number, text in bad:
        lines[number - 1] = text
    file = folder / "turns.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def kept(home: Home) -> int:
    return int(home.run("stats", "--json").json["memories"])


def test_a_file_is_kept_once_however_often_it_is_told(home: Home, tmp_path: Path) -> None:
    file = a_file(tmp_path, 1203)

    first = home.run("add", "--file", str(file), "--json")
    again = home.run("add", "--file", str(file))

    assert first.json == {"added": 1203, "deduplicated": 0, "refused": []}
    assert again.out == "0 memories remembered, 1,203 known already\n"
    assert kept(home) == 1203


def test_a_bad_line_is_named_and_stops_after_what_came_before(home: Home, tmp_path: Path) -> None:
    file = a_file(tmp_path, 9, (7, '{"content": 5}'))

    ran = home.run("add", "--file", str(file))

    assert ran.status == 1
    assert ran.err.startswith("openmemory: line 7: content: ")
    assert kept(home) == 6
    a_file(tmp_path, 9)
    assert home.run("add", "--file", str(file), "--json").json["added"] == 3


@pytest.mark.parametrize(
    "bad",
    ["nonsense", "[1]", "{}", '{"content": ""}', '{"content": "x", "id": "y"}', "[" * 5000, '{"content": "\\ud800"}'],
)
def test_with_partial_nothing_after_a_bad_line_is_lost(home: Home, tmp_path: Path, bad: str) -> None:
    file = a_file(tmp_path, 5, (2, bad), (4, bad))

    ran = home.run("add", "--file", str(file), "--partial", "--json")

    assert ran.status == 1
    assert ran.json["added"] == 3
    assert [one["line"] for one in ran.json["refused"]] == [2, 4]


def test_lines_that_are_not_utf_8_are_named(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"content": "one"}\r\n\r\n{"content": "\xff"}\r\n{"content": "three"}')

    ran = home.run("add", "--file", str(file), "--partial", "--json")

    assert ran.json == {"added": 2, "deduplicated": 0, "refused": [{"line": 3, "error": "is not UTF-8"}]}


@pytest.mark.parametrize(("field", "nearest"), [("userId", "user_id"), ("user", "user_id"), ("usr_id", "user_id")])
def test_a_line_whose_owner_is_named_by_a_field_that_nobody_reads_is_refused(
    home: Home, tmp_path: Path, field: str, nearest: str
) -> None:
    file = a_file(tmp_path, 3, (2, json.dumps({"content": "the gate code is 4711", field: "ada"})))

    ran = home.run("add", "--file", str(file), "--partial", "--json")

    assert ran.json["added"] == 2
    ((line, error),) = [(one["line"], one["error"]) for one in ran.json["refused"]]
    assert (line, error) == (2, f"{field}: is no field here; the nearest is {nearest}")


def test_an_id_that_is_taken_is_named_with_its_line(home: Home, tmp_path: Path) -> None:
    taken = home.run("add", "Stone number 0 of the tower", "--json").json["id"]
    file = a_file(tmp_path, 4, (3, json.dumps({"content": "another", "id": taken})))

    ran = home.run("add", "--file", str(file), "--partial", "--json")

    assert ran.json["added"] == 3
    assert [one["line"] for one in ran.json["refused"]] == [3]


def test_the_same_ids_again_are_known(home: Home, tmp_path: Path) -> None:
    line = json.dumps({"content": "mine", "id": "01a21097-12d5-7667-af9c-8de401984a53"})
    file = a_file(tmp_path, 1, (1, line))

    results = [home.run("add", "--file", str(file), "--json").json for _ in range(2)]

    assert [one["added"] for one in results] == [1, 0]
    assert results[1]["deduplicated"] == 1


def test_options_hold_for_lines_that_do_not_say(home: Home) -> None:
    lines = '{"content": "one"}\n{"content": "two", "user_id": "ben"}\n'

    ran = home.run("add", "--file", "-", "--user", "ada", "--tag", "old", stdin=lines)

    assert ran.status == 0
    items = home.run("list", "--json").json["items"]
    assert {item["content"]: item["user_id"] for item in items} == {"one": "ada", "two": "ben"}
    assert all(item["tags"] == ["old"] for item in items)


def test_a_file_that_is_not_there_is_one_line(home: Home) -> None:
    ran = home.run("add", "--file", "/nowhere/turns.jsonl")

    assert ran.status == 1
    assert ran.err == "openmemory: /nowhere/turns.jsonl cannot be read: No such file or directory\n"
