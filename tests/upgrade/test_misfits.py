"""Values that the new columns cannot hold: kept, with the old value beside them, as are odd ones that they can."""

import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection

from tests.conftest import Server
from tests.postgres.databases import a_place
from tests.upgrade.test_odd_values import CONTROLS, DEEP, OLD_TABLES, WRITTEN, lift, memory, remember

_MISFITS: list[tuple[str, object, str, object]] = [
    ("salience", 1.7, "salience", 1.0),
    ("salience", -0.2, "salience", 0.0),
    ("version", 0, "version", 1),
    ("decay_lambda", -1.0, "decay_rate", 0.005),
    ("primary_sector", "dreams", "primary_sector", "semantic"),
    ("tags", "no json", "tags", []),
    ("tags", '{"a": 1}', "tags", []),
    ("tags", '["a", 1, null, {"x": [1]}, ["b"]]', "tags", ["a", "1", "null", '{"x": [1]}', '["b"]']),
    ("tags", '[["a"]]', "tags", ['["a"]']),
    ("meta", "{broken", "metadata - 'openmemory_old'", {}),
    ("meta", '"a string"', "metadata - 'openmemory_old'", {}),
    ("meta", DEEP, "metadata - 'openmemory_old'", {}),
    ("meta", '{"large": 1' + "0" * 310 + ".5}", "metadata - 'openmemory_old'", {}),
    ("meta", '{"large": -1e309}', "metadata - 'openmemory_old'", {}),
    ("meta", '{"large": 1E+5000}', "metadata - 'openmemory_old'", {}),
    ("meta", '{"large": ' + "7" * 4_300 + "}", "metadata - 'openmemory_old'", {}),
    ("meta", '{"a":' * 101 + "1" + "}" * 101, "metadata - 'openmemory_old'", {}),
    ("tags", "[" * 1_000 + "]" * 1_000, "tags", []),
    ("meta", '{"nul": "\\u0000"}', "metadata - 'openmemory_old'", {}),
    ("meta", '{"a": 1, "a": 2}', "metadata - 'openmemory_old'", {"a": 2}),
    ("meta", '{"a": {"b": 1, "b" : 2}}', "metadata - 'openmemory_old'", {"a": {"b": 2}}),
    ("meta", '{"k":1,"k":2,"v":"\\u0022:"}', "metadata - 'openmemory_old'", {"k": 2, "v": '":'}),
    ("user_id", "Ada\u0007\n", "user_id", "Ada~" + hashlib.md5(b"Ada\x07\n", usedforsecurity=False).hexdigest()),
    ("user_id", "", "user_id", None),
    ("created_at", 9_000_000_000_000_000_000, "extract(epoch FROM created_at)::float8", 1_700_000_000.002),
    ("feedback_score", 0.75, "salience", 0.5),
]
_FITTING: list[tuple[str, object, str, object]] = [
    ("tags", None, "tags", []),
    ("tags", "[]", "tags", []),
    ("tags", '["a", "", "\u202e"]', "tags", ["a", "", "\u202e"]),
    ("meta", None, "metadata", {}),
    ("meta", "", "metadata", {}),
    ("meta", '{"large": 1e307, "digest": "9e4096"}', "metadata", {"large": 10**307, "digest": "9e4096"}),
    ("meta", json.dumps({"many": [{}] * 300}), "metadata", {"many": [{}] * 300}),
    ("meta", '{ "say \\":\\u00e9": [1e2, {"x":":"}] }', "metadata", {'say ":é': [100, {"x": ":"}]}),
    ("meta", '{"\\u0022:": ["\\\\", ":\\""], "\\\\" : {}}', "metadata", {'":': ["\\", ':"'], "\\": {}}),
    ("content", CONTROLS, "content", CONTROLS),
    ("salience", 1.0, "salience", 1.0),
    ("created_at", 1_700_000_000_999, WRITTEN, "2023-11-14 22:13:20.999000"),
    ("created_at", -1, WRITTEN, "1969-12-31 23:59:59.999000"),
    ("created_at", 253_402_300_799_999, WRITTEN, "9999-12-31 23:59:59.999000"),
]  # fmt: skip


@pytest.fixture(scope="module")
def odd_rows(postgres: Server) -> Iterator[tuple[Connection, Callable[[str, object], str]]]:
    """Yield a connection to a lifted database with every odd value in a memory of its own, and how each is called."""
    odd = [(column, old) for column, old, _, _ in (*_MISFITS, *_FITTING)]

    def called(column: str, old: object) -> str:
        return f"{odd.index((column, old)):08d}-0000-4000-8000-000000000000"

    with a_place(postgres) as place, place.owner() as connection:
        connection.execute(OLD_TABLES.encode())
        for column, old in odd:
            own = {"content": f"Ada moved to Lisbon, and said {called(column, old)}"}
            remember(connection, called(column, old), **{**own, column: old})
        lift(place)
        yield connection, called


@pytest.mark.parametrize(("column", "old", "wanted", "new"), _MISFITS)
def test_a_value_that_does_not_fit_is_kept_in_the_metadata(
    odd_rows: tuple[Connection, Callable[[str, object], str]], column: str, old: object, wanted: str, new: object
) -> None:
    connection, called = odd_rows
    assert memory(connection, called(column, old), wanted) == (new,)
    assert memory(connection, called(column, old), "metadata -> 'openmemory_old'") == ({column: old},)


@pytest.mark.parametrize(("column", "old", "wanted", "new"), _FITTING)
def test_an_odd_value_that_fits_comes_across_as_it_is(
    odd_rows: tuple[Connection, Callable[[str, object], str]], column: str, old: object, wanted: str, new: object
) -> None:
    connection, called = odd_rows
    assert memory(connection, called(column, old), wanted) == (new,)
    assert memory(connection, called(column, old), "metadata ? 'openmemory_old'") == (False,)
