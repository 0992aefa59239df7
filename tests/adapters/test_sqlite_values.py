"""Metadata of a SQLite file beside values that their columns cannot hold: nothing of it is written anew."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmemory.adapters.sqlite_values import noted

LOST = {"created_at": "yesterday"}
OBJECTS = st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))


@given(OBJECTS, st.sampled_from([None, 1, "\t"]))
def test_metadata_and_note_are_one_object(metadata: dict[str, object], indent: int | str | None) -> None:
    text = json.dumps(metadata, indent=indent)
    metadata.pop("openmemory_old", None)

    held = json.loads(noted(text, LOST))

    note = held.pop("openmemory_old")
    assert note["created_at"] == "yesterday"
    assert (json.loads(note["meta"]) if "meta" in note else held) == (json.loads(text) if "meta" in note else metadata)


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        (
            '{"n":0.1234567890123456789012345,"one":1.10}',
            '{"n":0.1234567890123456789012345,"one":1.10, "openmemory_old": {"created_at": "yesterday"}}',
        ),
        (" { } ", '{"openmemory_old": {"created_at": "yesterday"}}'),
        (None, '{"openmemory_old": {"created_at": "yesterday"}}'),
        (
            '{"openmemory_old": 1, "a": 2}',
            '{"a": 2, "openmemory_old": {"created_at": "yesterday", "openmemory_old": 1}}',
        ),
    ],
)
def test_what_is_kept_stays_as_it_is_written(metadata: str | None, wanted: str) -> None:
    assert noted(metadata, LOST) == wanted


@pytest.mark.parametrize(
    "metadata",
    [
        '{"a": 1, "a": 2}',
        '{"deep": {"a": 1, "a": 2}}',
        '{"n": NaN}',
        '{"n": 1e5000}',
        '{"n": ' + "9" * 4_300 + "}",
        '{"a":' * 100 + "1" + "}" * 100,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        '{"nul": "\\u0000"}',
        '{"lone": "\\ud800"}',
        '{"openmemory_old": 1, "n": 0.1234567890123456789012345}',
        "[1]",
        "no JSON",
    ],
)
def test_what_jsonb_would_not_keep_whole_is_noted_as_the_text_that_it_is(metadata: str) -> None:
    assert json.loads(noted(metadata, LOST)) == {"openmemory_old": {"meta": metadata, **LOST}}
