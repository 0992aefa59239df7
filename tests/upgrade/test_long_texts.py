"""Memories with long texts: what the process holds of them at once, whichever way a step is run."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from openmemory.postgres.statements import Names
from openmemory.postgres.upgrade import record
from openmemory.postgres.upgrade.layout import Layout
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import OLD_TABLES

_DIMENSION, _MEMORIES, _CHARS = 16, 200, 100_000
_FILL = f"""
INSERT INTO openmemory_memories (id, content, primary_sector, tags, meta, created_at, salience, decay_lambda)
SELECT md5(i::text)::uuid, i || ' ' || repeat(repeat('word', 15) || ' ', {_CHARS} / 61), 'semantic',
       '[]', '{{}}', 1700000000000 + i, 0.5, 0.005
  FROM generate_series(1, {_MEMORIES}) AS i;
INSERT INTO openmemory_vectors (id, sector, v, dim)
SELECT id, 'semantic', decode(repeat('0000803f', {_DIMENSION}), 'hex'), {_DIMENSION}
  FROM openmemory_memories;
"""


@pytest.fixture
def long(place: Place) -> Place:
    """Return an old database of 20 MB of text, whose vectors are so short that thousands go together."""
    with place.owner() as connection:
        connection.execute(OLD_TABLES.encode())
        for statement in filter(str.strip, _FILL.split(";")):
            connection.execute(statement.encode())
    return Place(place.logins, Names(dimension=_DIMENSION))


@contextmanager
def holding_a_part_of_the_texts() -> Iterator[None]:
    """Fail where Python held half of all texts, or more, at one moment."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < _MEMORIES * _CHARS / 2


def test_a_step_holds_a_part_of_the_texts_at_once(long: Place) -> None:
    for step in STEPS[:3]:
        with holding_a_part_of_the_texts():
            upgrade(long.logins.owner, long.names, Plan(_DIMENSION), only=step)


def test_what_psql_left_to_fill_is_filled_a_part_at_a_time(long: Place) -> None:
    plan = Plan(_DIMENSION)
    for step in STEPS[:3]:
        upgrade(long.logins.owner, long.names, plan, only=step)
    layout = Layout(long.names, plan)
    with long.owner() as connection:
        record.write(connection, layout, {"fingerprints": "pending", "terms": "pending"})
        connection.execute(layout.render("UPDATE {memories} SET fingerprint = NULL").encode())
        connection.execute(layout.render("UPDATE {vectors} SET terms = '{}/536870912'").encode())

    with holding_a_part_of_the_texts():
        report = upgrade(long.logins.owner, long.names, plan)

    assert report.steps == STEPS[3:]
    with long.owner() as connection:
        unfilled = connection.execute(
            "SELECT (SELECT count(*) FROM openmemory_memories WHERE fingerprint IS NULL),"
            " (SELECT count(*) FROM openmemory_vectors WHERE terms::text LIKE '{}/%')"
        ).fetchone()
    assert unfilled == (0, 0)
