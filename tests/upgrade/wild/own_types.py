"""Types that owners' own columns may have, with values of each that are easily lost on the way."""

from collections.abc import Mapping, Sequence

TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'o''k');
CREATE TYPE address AS (street text, no int, said json);
CREATE DOMAIN own_json AS json;
CREATE DOMAIN own_jsonb AS jsonb;
CREATE DOMAIN own_number AS numeric;
CREATE TYPE float_range AS RANGE (SUBTYPE = float8);
"""
"""What a database needs for the types of its own among these."""

_DEEP = "[" * 150 + "]" * 150
_LONG = "1" + "0" * 4_400

OWN_TYPES: Mapping[str, Sequence[str]] = {
    "text": ("plain", "", "null", '"quoted"', "\x01\ufffd\u202e"),
    "json": ('{"a":1,"a":2}', '"\\u0000"', "[1e400]", "null", " { } ", "-0.0"),
    "jsonb": ('{"openmemory_old":1}', "null", "[1.10,1e5]", '"x"', _LONG, _DEEP, "1e-5000", '"null"'),
    "own_json": ('{"a":1,"a":2}', '{"a": 1.0}', "null", '"\\u0000"', _DEEP),
    "own_jsonb": ('{"a":1}', "null", _DEEP, "[" * 6_000 + "]" * 6_000, _LONG),
    "numeric": ("NaN", "Infinity", "0.000", "1.10", "123456789012345678901234567890.123456789", "1e300",
                _LONG, "1e-40"),
    "numeric(20,3)": ("1.100", "NaN"),
    "own_number": ("NaN", "1.10", _LONG),
    "real": ("NaN", "-0", "1e-45", "3.4028235e38", "Infinity", "0.1"),
    "double precision": ("NaN", "-0", "5e-324", "1.7976931348623157e308", "-Infinity", "0.1", "1e22"),
    "bigint": ("9223372036854775807", "-9223372036854775808"),
    "boolean": ("t", "f"),
    "bytea": ("\\x", "\\x00ff", "\\x5c5c"),
    "date": ("infinity", "-infinity", "0044-03-15 BC", "5874897-12-31"),
    "timestamptz": ("infinity", "0044-03-15 12:00:00.123456+00 BC", "294276-12-31 23:59:59.999999+00",
                    "1900-01-01 00:00:00+01:23:45"),
    "timestamp": ("-infinity", "4713-01-01 00:00:00 BC", "2000-01-01 00:00:00.000001"),
    "timetz": ("24:00:00+15:59:59", "12:00:00.000001-03"),
    "time": ("24:00:00", "00:00:00.000001"),
    "interval": ("1 year -2 mons 3 days -04:05:06.789", "-1 days +00:00:00.000001", "178000000 years"),
    "money": ("-92233720368547758.08", "1.50"),
    "mood": ("sad", "o'k"),
    "address": ('("x""y",,)', '(a,1,"{""a"":1,""a"":2}")', "(,,)"),
    "address[]": ("{}", '{"(a,1,\\"{\\"\\"a\\"\\":1,\\"\\"a\\"\\":2}\\")"}'),
    "int4range": ("empty", "[1,)", "(,)"),
    "tstzrange": ('["2000-01-01 00:00:00+00",infinity]', "empty"),
    "nummultirange": ("{}", "{[1.10,2.20)}"),
    "float_range": ("[NaN,NaN]", "[-0,0]"),
    "bit(5)": ("10101",),
    "varbit": ("", "01"),
    "point": ("(1e-310,-0)", "(NaN,Infinity)"),
    "box": ("(1,1),(0,0)",),
    "polygon": ("((0,0),(1,1))",),
    "circle": ("<(0.1,0.2),0.3>",),
    "inet": ("::1/128", "10.0.0.1/8"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "tsvector": ("'a b':1A 'c'", ""),
    "tsquery": ("a & !b",),
    "pg_lsn": ("FFFFFFFF/FFFFFFFF",),
    "oid": ("4294967295",),
    "xid8": ("18446744073709551615",),
    "name": ("näme",),
    '"char"': ("\\377", "a", ""),
    "bpchar(8)": ("a  ", ""),
    "varchar": (" \t",),
    "uuid": ("00000000-0000-0000-0000-000000000000",),
    "regclass": ("pg_class",),
    "int2vector": ("1 2",),
    "oidvector": ("1 2",),
    "jsonpath": ("$.a",),
    "txid_snapshot": ("10:20:10,14",),
    "int[]": ("{}", "{NULL,1}", "[0:1]={1,2}", "{{1,2},{3,4}}", "[2:3][-1:0]={{1,2},{3,4}}"),
    "text[]": ("{}", '{NULL,"NULL","","a\\"b"}', "[5:5]={x}"),
    "double precision[]": ("{NaN,Infinity,5e-324}", "{1,-0}"),
    "numeric[]": ("{NaN,1.10}", "{1" + "0" * 5_000 + "}", "{1" + "0" * 310 + ".5}"),
    "jsonb[]": ('{NULL,"[]"}', '{NULL,"null"}'),
    "json[]": ('{"{\\"a\\":1,\\"a\\":2}"}',),
    "own_json[]": ('{"{\\"a\\":1,\\"a\\":2}"}',),
    "bytea[]": ('{"\\\\x00"}',),
    "date[]": ("{infinity}",),
    "vector": ("[1,2.5,0]", "[-0,1e-45]"),
    "halfvec": ("[1,2.5]",),
    "sparsevec": ("{1:1.5}/5",),
    "xml": ("<a>&amp;</a>", ""),
    "citext": ("AbC",),
    "ltree": ("a.b",),
}  # fmt: skip
EXTENSIONS = ("citext", "ltree")
"""Types of this name are the extension's of this name; where a server lacks it, there are no such columns."""

NAMES = ("plain", "a%b", "{tenant}", "it's", 'x"y', "$sql$", "Ünï", "UPPER", "select", "two words", "a\\b", "key",
         "value", "{", "}}", "%s", "%(x)s", "place", "original", "other", "raw_id", "openmemory_old", "sectors",
         "terms", "seq", "session_id", "speaker", "occurred_at", "fingerprint", "n", "m", "k", "f", "openmemory_row",
         "own")  # fmt: skip
