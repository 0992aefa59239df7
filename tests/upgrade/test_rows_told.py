"""The rows that a report tells of."""

from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import ORDINARY, A, B, odd, remember

__all__ = ["odd"]


def test_a_memory_without_a_vector_is_not_told_as_one(odd: Place) -> None:
    with odd.owner() as connection:
        remember(connection, A)
        remember(connection, B, content="Ben stayed in Porto")
        query = "INSERT INTO openmemory_vectors (id, sector, v, dim) VALUES (%s, 'semantic', %s, 4)"
        connection.execute(query, [A, b"\x00\x00\x80?" * 4])

    report = upgrade(odd.logins.owner, odd.names, ORDINARY)

    assert (report.rows["memories"], report.rows["vectors"]) == (2, 1)
