"""Values of old columns, by what a column holds and its type: an ordinary one, then those that broke something."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

Value = str | bytes | None
"""A text as PostgreSQL reads it into a column of any type, or bytes."""

DIMENSION = 4

UUIDS = tuple(f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abcdef012345")
OTHER_IDS = ("", "id-1", " 2 ", "ü3", "%s4", "{5}", "line\n6", "x" * 300)
USERS = ("alice", None, "", "bob", "Bob", "a,b", " lead", "x" * 128, "x" * 129, "ü" * 70, "tab\there", "\x7f",
         "default", "ben\u200b", "o'x", "%s", "{t}", "\ufffd", "\u202ertl", "\u00a0", "~", "null")  # fmt: skip
TENANTS = ("default", None, "", "t1", "t2", "Ünï", "o'x", "{tenant}", "%s", "x" * 128, "alice")
PROJECTS = (None, "", "p1", "p" * 200, "p\x01")
SECTORS = ("semantic", "episodic", "procedural", "emotional", "reflective")
OTHER_SECTORS = ("SEMANTIC", "", "weird", "\x01", "s" * 200)
TEXTS = ("hello world", "", " ", "\t\n\r", "a" * 20_000, "\ufffd", "\u202eabc", "😀" * 50, "\x01\x02", "İ", "ẞß",
         "\U000e0001", "'; DROP", "\\", "%s {tenant} $$ $sql$", "null", "0")  # fmt: skip
SUBJECTS = ("Ada", "", "s" * 9_000)

_MS = ("1700000000123", "0", "1", "-1", "999", "-999", "253402300799999", "253402300800000", "-62135596800000",
       "-62135596800001", "9223372036854775807", "-9223372036854775808")  # fmt: skip
_INSTANTS = ("2000-01-01 00:00:00.123", "2000-01-01 00:00:00.123456", "1969-12-31 23:59:59.999", "infinity",
             "-infinity", "0044-03-15 00:00:00 BC", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999",
             "9999-12-31 23:59:59.9999", "294276-12-31 23:59:59.999")  # fmt: skip
TIMES: Mapping[str, Sequence[str]] = {
    "bigint": _MS,
    "integer": ("86400001", "0", "-1", "2147483647"),
    "text": ("1700000000123", " 1 ", "1700000000123.0", "", "-999", "+5", "999999999999999999"),
    "numeric": (*_MS, "1.700000000123e12", "5.000"),
    "double precision": ("1700000000123", "-0", "-999", "9007199254740991", "-9223372036854775808"),
    "timestamptz": _INSTANTS,
    "timestamp": _INSTANTS,
}
NUMBERS: Mapping[str, Sequence[str]] = {
    "double precision": ("0.5", "0", "-0", "1", "1.5", "-2", "NaN", "Infinity", "-Infinity", "5e-324", "1e308", "0.1",
                         "0.30000000000000004", "1e-17"),
    "real": ("0.5", "0", "1", "0.1", "NaN", "3e38", "-1e-40", "1e-45", "Infinity"),
    "numeric": ("0.5", "0.123", "1", "1.5", "NaN", "-2", "0.12345678901234567891", "1e300", "Infinity", "0.10"),
    "text": ("0.5", " .5 ", "", "-1", "+1.", "0.12345678901234567891", "5e-1", "1E9"),
    "bigint": ("1", "0", "-1", "9007199254740993"),
}  # fmt: skip
COUNTS: Mapping[str, Sequence[str]] = {
    "integer": ("1", "0", "-5", "7", "2147483647"),
    "bigint": ("1", "0", "-2147483648"),
    "text": ("1", " 7 ", "", "3.0", "-5"),
    "numeric": ("1", "2.000", "0"),
    "double precision": ("1", "-0", "7"),
}
_NOT_JSON = ("", "not json", "{", '{"a":1}{"b":2}', '{"a":"\\u0000"}', '{"a":"\\ud800"}', "{'a':1}", '{"a":NaN}',
             "\ufeff{}", "\x01")  # fmt: skip
_NOT_KEPT_BY_JSONB = ('{"a":1,"a":1}', '{"a":1,"a":"x:y"}', '{"a":{"b":1,"b":2}}', '{"a\\u0062":1,"ab":1}',
                      '{"a":1,"a":{"b":2}}')  # fmt: skip
_ODD_JSON = ('{"source": "chat"}', " {} ", "[1]", '"s"', "5", "null", '{"openmemory_old": null}',
             '{"openmemory_old": {"salience": 2}}', '{"n":1' + "0" * 5_000 + "}", '{"n":1e4400}', '{"n":-1e-2000}',
             '{"a":' * 99 + "1" + "}" * 99, '{"a":' * 100 + "1" + "}" * 100, '{"a":' * 1_000 + "1" + "}" * 1_000,
             "[" * 7_000 + "]" * 7_000, '{"k":"' + "x" * 20_000 + '"}', '{"n":' + "9" * 308 + "}",
             '{"n":' + "9" * 309 + "}", "1" + "0" * 5_000)  # fmt: skip
_ODD_TAGS = ("[]", '["a"]', '["a","a"]', '["a",1,null]', '[["x"]]', '{"a":1}', '"x"', "null",
             '["' + "t" * 300 + '"]', '[ "a" ]', '["\\u0001"]', '["ü","\\u00fc"]', "[1.10,1e5]", "5")  # fmt: skip
_ARRAYS = ("{}", "{a,b}", "{a,NULL}", '{""}', '{"NULL","a\\"b"}', "[2:3]={a,b}", "{{a},{b}}")

_WORDS = ("a", "b", "", "a:", "openmemory_old", "ü", '"', "columns", "x\\y", "\u202e", "key: value")
_DIGITS = ("0", "-0", "-0.0", "1.0", "1.10", "1e5", "1E+2", "1e400", "1e-400", "123456789012345678901234567890",
           "0.1234567890123456789012345678901", "12e-3", "9007199254740993")  # fmt: skip
_spaces = st.sampled_from(["", " ", "\n"])
_strings = (
    st.sampled_from(_WORDS)
    .flatmap(lambda word: st.sampled_from([json.dumps(word), f'"{word}"']))
    .filter(lambda text: _is_json(text))
)
_scalars = st.one_of(st.sampled_from(_DIGITS), _strings, st.sampled_from(["true", "null", '"\\ud83d\\ude00"', '"\\/"']))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _object(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds("{0}{1}:{1}{2}".format, _strings, _spaces, inner)
    # Equal keys, which jsonb keeps the last of, are as likely as these few words make them.
    return st.lists(pairs, max_size=4).map(lambda found: "{" + ",".join(found) + "}")


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(_object(inner), st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]"))


_objects = _object(st.recursive(_scalars, _nested, max_leaves=4))
JSON: Mapping[str, st.SearchStrategy[str]] = {
    "text": st.one_of(st.sampled_from(_ODD_JSON + _NOT_JSON + _NOT_KEPT_BY_JSONB), _objects),
    "jsonb": st.one_of(st.sampled_from(_ODD_JSON), _objects),
    "json": st.one_of(st.sampled_from(_ODD_JSON + _NOT_KEPT_BY_JSONB), _objects, st.just('{"a":"\\u0000"}')),
}
TAGS: Mapping[str, st.SearchStrategy[str]] = {
    "text": st.sampled_from((*_ODD_TAGS, "", "a,b", "[", '["\\u0000"]', "[]x", "[" * 7_000 + "]" * 7_000)),
    "jsonb": st.sampled_from(_ODD_TAGS),
    "text[]": st.sampled_from(_ARRAYS),
}

_FLOATS = (1.0, 0.0, -0.0, 1e-45, -1e-45, 3.4028234663852886e38, 0.1, -1.5, 1e-38)
_HALVES = (1.0, 0.0, -0.0, 65504.0, 6e-8)
_bytes = st.one_of(
    st.lists(st.sampled_from(_FLOATS), min_size=DIMENSION, max_size=DIMENSION).map(
        lambda floats: np.array(floats, "<f4").tobytes()
    ),
    st.binary(min_size=4 * DIMENSION, max_size=4 * DIMENSION),
    st.sampled_from(
        [np.array([0, 1, 2, odd], "<f4").tobytes() for odd in (np.nan, np.inf, -np.inf)]
        + [bytes(4 * size) for size in (0, 1, 3, 8)]
        + [bytes(4 * DIMENSION + 1), b"\x01"]
    ),
)


def _written(floats: Sequence[float], dimension: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(floats), min_size=dimension, max_size=dimension).map(str)


VECTORS: Mapping[str, st.SearchStrategy[str | bytes]] = {
    "bytea": _bytes,
    f"vector({DIMENSION})": _written(_FLOATS, DIMENSION),
    "vector": st.one_of(_written(_FLOATS, DIMENSION), _written(_FLOATS, DIMENSION - 1)),
    f"halfvec({DIMENSION})": _written(_HALVES, DIMENSION),
}
